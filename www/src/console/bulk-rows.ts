// From the records of a file to the entries of requests.

import type { FileRecord, Format } from "./bulk-records";
import {
  entryName, entryOf, entryOfObject, isKind, reasonProblem, type Entry, type EntryKind,
  type Fields, type Kind,
} from "./revocation";

/** A row that can be sent. */
export interface Row {
  line: number;
  entry: Entry;
  reason: string;
}

/** A row that was not accepted, and why; it can be sent again if it has an entry. */
export interface Failure {
  line: number;
  kind: EntryKind;
  id: string;
  code: string;
  detail: string;
  row: Row | null;
}

/** How the rows of a file are read. */
export interface Layout {
  format: Format;
  /** The columns by name; null where there is a single one without a name. */
  columns: string[] | null;
  /** What a single column without a name is. */
  kind: Kind;
  /** For rows that have none of their own. */
  exp: string;
  reason: string;
  issuer: string;
}

/** The columns that the first record names; null if it holds a single id, or what is wrong. */
export function columnsOf(first: FileRecord): { columns: string[] | null } | { complaint: string } {
  const names = first.fields.map((field) => field.trim().toLowerCase());
  if (names.some(isKind)) {
    const twice = names.find((name, index) => isColumn(name) && names.indexOf(name) !== index);
    if (twice !== undefined) return { complaint: `The column ${twice} appears twice.` };
    return { columns: names };
  }
  if (names.length === 1) return { columns: null };
  const known = "jti, exp, sub, session_id, kid, reason, issuer";
  return { complaint: `With several columns the first row must name them: ${known}.` };
}

/** Columns that are not read. */
export function strangers(columns: string[] | null): string[] {
  return (columns ?? []).filter((name) => !isColumn(name));
}

export function rowOf(record: FileRecord, layout: Layout): Row | Failure {
  const { line, fields, complaint } = record;
  if (complaint !== undefined) return failure(line, "unreadable_row", complaint);
  // The replacement character would make another id.
  if (fields.some((field) => field.includes("\ufffd"))) {
    return failure(line, "unreadable_row", "has bytes that are not UTF-8");
  }
  const read = layout.format === "ndjson" ? ofObject(fields[0] ?? "") : ofFields(fields, layout);
  if ("complaint" in read) return failure(line, "invalid_row", read.complaint, read.id);
  const { reason = layout.reason, ...entry } = read.entry;
  const problem = reasonProblem(reason);
  if (problem !== null) return failure(line, "invalid_row", problem, entryName(entry)[1]);
  return { line, entry, reason };
}

export function isRow(row: Row | Failure): row is Row {
  return "entry" in row;
}

/** A row that the control plane refused. */
export function refused(row: Row, code: string, detail: string): Failure {
  const [kind, id] = entryName(row.entry);
  return { line: row.line, kind, id, code, detail, row };
}

type Read = { entry: Entry & { reason?: string } } | { complaint: string; id?: string };

function ofObject(text: string): Read {
  try {
    return entryOfObject(JSON.parse(text));
  } catch {
    return { complaint: "is not JSON" };
  }
}

function ofFields(values: string[], { columns, kind, exp, issuer }: Layout): Read {
  const fields: Fields = {};
  let reason: string | undefined;
  const names = columns ?? [kind];
  if (values.length > names.length) {
    return { complaint: `has ${values.length} fields where there are ${names.length} columns` };
  }
  for (const [index, value] of values.entries()) {
    const name = names[index] ?? "";
    if (value === "") continue;
    if (name === "reason") reason = value;
    else if (name === "exp" || name === "issuer" || isKind(name)) fields[name] = value;
  }
  if (fields.jti !== undefined && exp !== "") fields.exp ??= exp;
  if (issuer !== "" && fields.token === undefined && fields.refresh_token === undefined) {
    fields.issuer ??= issuer;
  }
  const checked = entryOf(fields);
  const id = fields.jti ?? fields.sub ?? fields.session_id ?? fields.kid;
  if ("complaint" in checked) return id === undefined ? checked : { ...checked, id };
  return { entry: { ...checked.entry, ...(reason !== undefined && { reason }) } };
}

function failure(line: number, code: string, detail: string, id = ""): Failure {
  return { line, kind: "", id, code, detail, row: null };
}

function isColumn(name: string): boolean {
  return isKind(name) || name === "exp" || name === "reason" || name === "issuer";
}
