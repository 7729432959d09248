// Header or claims: as a table, every member with its value and its meaning, or as JSON.

import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { CopyButton } from "../shared/copy-button";
import { count, localTime, relativeTime, utcTime } from "../shared/format";
import { ShownText, stopFor } from "../shared/shown-text";
import { useNow } from "./clock";
import { isTimeClaim, meaningOfClaim, meaningOfHeader } from "./claims";
import type { Segment } from "./decode";
import { formatJson, type Json, type JsonReading } from "./json";
import { timeOf } from "./times";

interface Props {
  kind: "claims" | "header";
  segment: Segment;
}

export function PartTable({ kind, segment }: Props) {
  const [isJson, setJson] = useState(false);
  const { raw, reading } = segment.json ?? { raw: "", reading: undefined };
  const value = reading?.value;
  const members = value?.kind === "object" ? value.members : [];
  const marks = useMemo(() => marksOf(reading), [reading]);
  return (
    <>
      {members.length > 0 && (
        <div class="row views">
          <button type="button" class="small" aria-pressed={isJson} onClick={() => setJson(!isJson)}>
            JSON
          </button>
          {isJson && value !== undefined && (
            <CopyButton label="Copy" isSmall text={() => formatJson(value)} />
          )}
        </div>
      )}
      {members.length > 0 && (isJson && value !== undefined
        ? <JsonText value={value} label={kind === "header" ? "Header as JSON" : "Claims as JSON"} />
        : <Members kind={kind} members={members} marks={marks} />)}
      {value?.kind === "object" && members.length === 0 && reading?.error === undefined && (
        <p class="quiet">An object without members.</p>
      )}
      {segment.json !== undefined && (reading?.error !== undefined || value?.kind !== "object") && (
        <RawText raw={raw} at={reading?.error?.at} />
      )}
    </>
  );
}

function JsonText({ value, label }: { value: Json; label: string }) {
  const text = useMemo(() => formatJson(value), [value]);
  const isCut = text.length > MAX_JSON;
  return (
    <pre class="raw" {...stopFor(label)}>
      <ShownText text={text.slice(0, MAX_JSON)} keepsLines />{isCut && " …"}
    </pre>
  );
}

interface MembersProps {
  kind: Props["kind"];
  members: Array<[name: string, value: Json]>;
  /** What is wrong with single members, by name. */
  marks: Map<string, string>;
}

/** Many members are rendered in steps, so that the page stays responsive. */
function Members({ kind, members, marks }: MembersProps) {
  const [wanted, want] = useState(FIRST_ROWS);
  const [shown, show] = useState(FIRST_ROWS);
  useEffect(() => {
    if (shown >= Math.min(wanted, members.length)) return undefined;
    const timer = setTimeout(() => show(shown + ROWS_AT_ONCE), 16);
    return () => clearTimeout(timer);
  }, [shown, wanted, members.length]);
  const total = count(members.length);
  // Rows that are shown already are not rendered again.
  const chunks = useMemo(() => [] as JSX.Element[], [kind, members, marks]);
  for (let from = 0; from < Math.min(shown, members.length);) {
    const end = from === 0 ? FIRST_ROWS : from + ROWS_AT_ONCE;
    chunks[Math.ceil(from / ROWS_AT_ONCE)] ??= (
      <tbody key={from}>
        {members.slice(from, end).map(([name, value], at) => (
          <Member key={at} kind={kind} name={name} value={value} mark={marks.get(name)} />
        ))}
      </tbody>
    );
    from = end;
  }
  return (
    <>
      <table class="members">
        <caption class="visually-hidden">{kind === "header" ? "Header" : "Claims"}, {total} in all</caption>
        <colgroup><col class="name-column" /><col /></colgroup>
        <thead class="visually-hidden"><tr><th scope="col">Name</th><th scope="col">Value</th></tr></thead>
        {chunks}
      </table>
      {members.length > wanted && (
        <p class="row">
          <button type="button" onClick={() => want(members.length)}>Show all {total}</button>
          <span class="quiet small">{FIRST_ROWS} of {total} are shown.</span>
        </p>
      )}
      {wanted > FIRST_ROWS && shown < members.length && (
        <p class="quiet small" role="status">Showing {total} …</p>
      )}
    </>
  );
}

interface MemberProps {
  kind: Props["kind"];
  name: string;
  value: Json;
  mark?: string;
}

function Member({ kind, name, value, mark }: MemberProps) {
  const meaning = kind === "header" ? meaningOfHeader(name) : meaningOfClaim(name);
  const isTime = kind === "claims" && value.kind === "number" && isTimeClaim(name);
  return (
    <tr>
      <th scope="row"><code><ShownText text={name} /></code></th>
      <td>
        <div class="value-line">
          <div class="value mono" {...(isLong(value) && stopFor(name))}><Value value={value} /></div>
          <CopyButton label="Copy" name={name} isSmall text={() => textOf(value)} />
        </div>
        {mark !== undefined && <p class="small"><span class="pill bad">⚠ {mark}</span></p>}
        {isTime && <Time name={name} value={Number(value.raw)} />}
        {meaning !== undefined && <p class="meaning">{meaning}</p>}
      </td>
    </tr>
  );
}

function marksOf(reading?: JsonReading): Map<string, string> {
  const { repeated = [], imprecise = [] } = reading ?? {};
  const marks = new Map(imprecise.map((path) => [topOf(path), "loses precision as a double"]));
  for (const path of repeated) {
    marks.set(topOf(path), path === topOf(path) ? "appears twice" : "has a name that appears twice");
  }
  return marks;
}

/** The top-level member that a path begins with, as far as a path shows that. */
function topOf(path: string): string {
  return path.replace(/[.[].*$/s, "");
}

/** Whether the value may need scrolling, also on a narrow screen. */
function isLong(value: Json): boolean {
  if (value.kind === "string") return value.value.length > MAX_SHORT;
  return (value.kind === "array" || value.kind === "object") && formatJson(value).length > MAX_SHORT;
}

function Value({ value }: { value: Json }) {
  if (value.kind === "string") {
    if (value.value === "") return <span class="quiet">(empty)</span>;
    return <ShownText text={value.value} />;
  }
  if (value.kind === "array" || value.kind === "object") return <Nested value={value} />;
  return <>{formatJson(value)}</>;
}

/** Nested values can be folded; long ones are folded at first. */
function Nested({ value }: { value: Extract<Json, { kind: "array" | "object" }> }) {
  const text = useMemo(() => formatJson(value), [value]);
  const lines = text.split("\n").length;
  const shown = <pre><ShownText text={text} keepsLines /></pre>;
  if (lines <= FEW_LINES) return shown;
  const [length, unit] = value.kind === "array" ? [value.items.length, "item"]
    : [value.members.length, "member"];
  return (
    <details open={lines <= MAX_LINES}>
      <summary class="quiet">{value.kind}, {count(length)} {unit}{length !== 1 && "s"}</summary>
      {shown}
    </details>
  );
}

/** What is copied: a string without its quotes. */
function textOf(value: Json): string {
  return value.kind === "string" ? value.value : formatJson(value);
}

function Time({ name, value }: { name: string; value: number }) {
  const now = useNow();
  const time = timeOf(value);
  if (time === undefined) return <p class="bad small">Not a valid time.</p>;
  const { seconds, isMilliseconds } = time;
  const isPast = seconds <= now;
  const tone = name === "exp" ? (isPast ? "bad" : "") : isPast ? "" : "unknown";
  return (
    <div class="time">
      {isMilliseconds && <span class="bad small">in milliseconds: </span>}
      <strong class={tone}>{relativeTime(seconds, now)}</strong>
      <span>{localTime(seconds)}</span>
      <span class="quiet">{utcTime(seconds)}</span>
    </div>
  );
}

/** Text that is not valid JSON, with the place of the error. */
function RawText({ raw, at }: { raw: string; at?: number }) {
  const from = Math.max(0, (at ?? 0) - MAX_RAW / 2);
  const end = from + MAX_RAW;
  const place = at ?? raw.length;
  return (
    <>
      <h3>The decoded text as it is</h3>
      <pre class="raw" {...stopFor("The decoded text")}>
        {from > 0 && "… "}
        <ShownText text={raw.slice(from, place)} keepsLines />
        {at !== undefined && (
          <mark class="broken">
            {at < raw.length ? <ShownText text={raw.charAt(at)} /> : "⚠ ends here"}
          </mark>
        )}
        <ShownText text={raw.slice(place + 1, end)} keepsLines />
        {end < raw.length && " …"}
      </pre>
    </>
  );
}

const FIRST_ROWS = 100;
const ROWS_AT_ONCE = 250;
const MAX_RAW = 8000;
const MAX_SHORT = 120;
const FEW_LINES = 4;
const MAX_LINES = 12;
const MAX_JSON = 100_000;
