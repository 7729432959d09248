// What was revoked, by whom and why: newest first, searched and exported.

import { useState } from "preact/hooks";
import type { LogEntry, LogRequest } from "../shared/answers";
import { Card } from "../shared/card";
import { count } from "../shared/format";
import { Moment } from "../shared/moment";
import { ProblemNotice } from "../shared/outcome";
import type { Problem } from "../shared/request";
import { ShownText } from "../shared/shown-text";
import { Table } from "../shared/table";
import { Needs, may, type Access } from "./access";
import { csvOf, Download } from "./download";
import { LogSearch } from "./log-search";
import { named, withOlder, type Log } from "./log-pages";
import type { LogFilters } from "./api";

interface Props {
  access: Access;
  log: Log | null;
  problem: Problem | null;
  /** Fetches the page before `next`; resolves with the problem, if there is one. */
  onOlder(next: number): Promise<Problem | null>;
}

export function RecentLog({ access, log, problem, onOlder }: Props) {
  const [search, setSearch] = useState<{ filters: LogFilters; log: Log } | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Problem | null>(null);
  const shown = search?.log ?? log;
  const start = async (filters: LogFilters | null) => {
    setFailure(null);
    if (filters === null) return setSearch(null);
    setBusy(true);
    const answer = await access.plane.log(null, filters);
    setBusy(false);
    if (!answer.ok) return setFailure(answer.problem);
    const { requests, next } = answer.value;
    setSearch({ filters, log: { requests, next: next ?? null } });
  };
  const older = async () => {
    if (isBusy || shown === null || shown.next === null) return;
    setBusy(true);
    setFailure(await (search === null ? onOlder(shown.next) : olderFound(search, shown.next)));
    setBusy(false);
  };
  const olderFound = async ({ filters, log: held }: NonNullable<typeof search>, next: number) => {
    const answer = await access.plane.log(next, filters);
    if (!answer.ok) return answer.problem;
    setSearch({ filters, log: withOlder(held, answer.value) });
    return null;
  };
  const canRead = may(access, "revocations:read");
  return (
    <Card title={search === null ? "Recent log" : "Log, searched"}>
      <Needs access={access} scope="revocations:read" to="see the log" />
      {canRead && <LogSearch isActive={search !== null} isBusy={isBusy} onSearch={start} />}
      {problem && canRead && <ProblemNotice problem={problem} />}
      {shown !== null && shown.requests.length === 0 && (
        <p class="quiet">
          {search === null
            ? "Nothing was revoked yet. The first revocation appears here immediately."
            : `Nothing found${shown.next === null ? "" : " in this part of the log"}.`}
        </p>
      )}
      {shown !== null && shown.requests.length > 0 && (
        <Table caption="Accepted revocations, newest first" columns={COLUMNS}
          rows={shown.requests.map((request) => ({
            key: request.position, cells: cells(request, access.names),
          }))} />
      )}
      <p class="row">
        {shown !== null && shown.next !== null && (
          <button type="button" onClick={older} disabled={isBusy}>
            {isBusy ? "Fetching…" : "More"}
          </button>
        )}
        {shown !== null && shown.requests.length > 0 && (
          <Download text="Export what is listed (CSV)" name="offswitch-log.csv"
            content={() => csvOf(rowsOf(shown.requests, access.names))} />
        )}
      </p>
      <div role="status">{failure && <ProblemNotice problem={failure} />}</div>
    </Card>
  );
}

function cells(request: LogRequest, names: ReadonlyMap<string, string>) {
  const { position, at, by, reason } = request;
  return [
    <Moment at={at} />,
    <Entries {...entriesOf(request)} />,
    reason === null || reason === undefined ? <span class="quiet">none given</span>
      : <ShownText text={reason} />,
    <By id={by} name={names.get(by)} />,
    <code><ShownText text={position} /></code>,
  ];
}

function By({ id, name }: { id: string; name?: string }) {
  if (name === undefined) return <code><ShownText text={id} /></code>;
  return <><ShownText text={name} /> <code class="quiet small"><ShownText text={id} /></code></>;
}

function Entries({ entries, all }: { entries: LogEntry[]; all: number }) {
  const [isOpen, setOpen] = useState(false);
  const shown = isOpen ? entries : entries.slice(0, FEW);
  const isMore = entries.length > FEW;
  return (
    <>
      <ul class="plain">
        {shown.map((entry, index) => <li key={index}><Entry entry={entry} /></li>)}
      </ul>
      {isMore && (
        <button type="button" class="link" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
          {isOpen ? "Show fewer" : `Show ${Math.min(all, entries.length)} of ${count(all)}`}
        </button>
      )}
    </>
  );
}

function Entry({ entry }: { entry: LogEntry }) {
  const [kind, name] = named(entry);
  const issuer = entry["issuer"];
  return (
    <>
      <span class="quiet"><ShownText text={kind} /></span>{" "}
      {entry.kind === "epoch" ? <Moment at={name} /> : <code><ShownText text={name} /></code>}
      {issuer !== undefined && (
        <div class="quiet small">of <ShownText text={issuer} /></div>
      )}
    </>
  );
}

/** The entries that the log lists of a request, and how many it has. */
function entriesOf({ count: all, revocations }: LogRequest): { entries: LogEntry[]; all: number } {
  const entries = Array.isArray(revocations) ? revocations : [];
  return { entries, all: typeof all === "number" ? all : entries.length };
}

function rowsOf(requests: readonly LogRequest[], names: ReadonlyMap<string, string>): string[][] {
  const rows = requests.flatMap((request) => {
    const { at, reason, by, position } = request;
    const { entries, all } = entriesOf(request);
    const row = (kind: string, name: unknown, issuer: unknown) => {
      const time = new Date(at * 1000).toISOString();
      return [time, kind, name, issuer ?? "", reason ?? "", names.get(by) ?? by, position].map(String);
    };
    const listed = entries.map((entry) => row(...named(entry), entry["issuer"]));
    const left = all - entries.length;
    return left > 0 ? [...listed, row("more", `${left} more of this request, not listed`, "")] : listed;
  });
  return [["time", "kind", "name", "issuer", "reason", "by", "position"], ...rows];
}

const COLUMNS = ["When", "What", "Why", "Who", "Position"];
const FEW = 3;
