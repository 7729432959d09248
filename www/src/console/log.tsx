// What was revoked, by whom and why: newest first.

import { useState } from "preact/hooks";
import type { LogEntry, LogRequest } from "../shared/answers";
import { Needs, may, type Access } from "./access";
import { count } from "../shared/format";
import { Foreign } from "../shared/foreign";
import { named, type Log } from "./log-pages";
import { Moment } from "../shared/moment";
import { ProblemNotice } from "../shared/outcome";
import type { Problem } from "../shared/request";
import { Table } from "../shared/table";

interface Shown {
  access: Access;
  log: Log | null;
  problem: Problem | null;
  /** Fetches what lies before; says what went wrong. */
  onOlder(next: number): Promise<Problem | null>;
}

export function RecentLog({ access, log, problem, onOlder }: Shown) {
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Problem | null>(null);
  const older = async () => {
    if (isBusy || log === null || log.next === null) return;
    setBusy(true);
    setFailure(await onOlder(log.next));
    setBusy(false);
  };
  return (
    <section class="card" aria-labelledby="log-title">
      <h2 id="log-title">Recent log</h2>
      <Needs access={access} scope="revocations:read" to="see the log" />
      {problem && may(access, "revocations:read") && <ProblemNotice problem={problem} />}
      {log !== null && log.requests.length === 0 && (
        <p class="quiet">Nothing was revoked yet. The first revocation appears here at once.</p>
      )}
      {log !== null && log.requests.length > 0 && (
        <Table caption="Accepted revocations, newest first" columns={COLUMNS}
          rows={log.requests.map((request) => ({
            key: request.position, cells: cells(request),
          }))} />
      )}
      {log !== null && log.next !== null && (
        <button type="button" onClick={older} disabled={isBusy}>
          {isBusy ? "Fetching…" : "More"}
        </button>
      )}
      <div role="status">{failure && <ProblemNotice problem={failure} />}</div>
    </section>
  );
}

function cells({ position, at, by, reason, count: all, revocations }: LogRequest) {
  const entries = Array.isArray(revocations) ? revocations : [];
  return [
    <Moment at={at} />,
    <Entries entries={entries} all={typeof all === "number" ? all : entries.length} />,
    reason === null || reason === undefined ? <span class="quiet">none given</span>
      : <Foreign text={reason} />,
    <code><Foreign text={by} /></code>,
    <code><Foreign text={position} /></code>,
  ];
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
      <span class="quiet"><Foreign text={kind} /></span>{" "}
      {entry.kind === "epoch" ? <Moment at={name} /> : <code><Foreign text={name} /></code>}
      {issuer !== undefined && (
        <div class="quiet small">of <Foreign text={issuer} /></div>
      )}
    </>
  );
}

const COLUMNS = ["When", "What", "Why", "Who", "Position"];
const FEW = 3;
