// A chosen file: its first rows, and all of its rows.

import { formatOf, recordsOf, type FileRecord, type Format } from "./bulk-records";
import { columnsOf, isRow, rowOf, type Failure, type Layout } from "./bulk-rows";
import type { Source } from "./bulk-run";

/** The start of a file. */
export interface Start {
  format: Format;
  columns: string[] | null;
  /** The first records after the header. */
  records: FileRecord[];
}

/** Reads the first few records only. */
export async function startOf(file: File): Promise<Start | { complaint: string }> {
  if (file.size === 0) return { complaint: "The file is empty." };
  const records: FileRecord[] = [];
  try {
    const beginning = textOf(await file.slice(0, START_BYTES).arrayBuffer());
    if (beginning === null) return { complaint: "This is not a text file in UTF-8." };
    if (beginning.trimStart().startsWith("[")) return { complaint: AN_ARRAY };
    const format = formatOf(file.name, beginning);
    for await (const record of recordsOf(file.slice(0, START_BYTES).stream(), format)) {
      records.push(record);
      if (records.length > SHOWN_ROWS) break;
    }
    const [first] = records;
    if (first === undefined) return { complaint: "The file has no rows." };
    const shown = records.slice(0, SHOWN_ROWS);
    if (format === "ndjson") return { format, columns: null, records: shown };
    if (first.complaint !== undefined) return { complaint: `The first row ${first.complaint}.` };
    const found = columnsOf(first);
    if ("complaint" in found) return found;
    const rows = found.columns === null ? shown : records.slice(1);
    if (rows.length === 0) return { complaint: "The file has column names and no rows." };
    return { format, columns: found.columns, records: rows };
  } catch {
    return { complaint: "The file cannot be read. A folder cannot be sent, only a file." };
  }
}

/** All rows, read while they are sent. */
export async function* rowsOf(file: File, layout: Layout): Source {
  let isHeader = layout.columns !== null;
  for await (const record of recordsOf(file.stream(), layout.format)) {
    if (!isHeader) yield { row: rowOf(record, layout), taken: record.taken };
    isHeader = false;
  }
}

/** The failed rows again; unreadable ones fail again. */
export async function* failedRows(failures: readonly Failure[]): Source {
  for (const [index, failure] of failures.entries()) {
    yield { row: failure.row ?? failure, taken: index + 1 };
  }
}

/** The beginning of a request body, without any token. */
export function sketchOf(start: Start, layout: Layout): string {
  const rows = start.records.map((record) => rowOf(record, layout)).filter(isRow);
  const reason = rows[0]?.reason ?? "";
  const entries = rows.filter((row) => row.reason === reason).slice(0, 3).map(({ entry }) => {
    const { token, refresh_token, ...rest } = entry;
    const secret = token !== undefined ? { token: "…" } : { refresh_token: "…" };
    return JSON.stringify(token ?? refresh_token ? secret : rest);
  });
  const end = reason === "" ? "" : `,\n "reason": ${JSON.stringify(reason)}`;
  return `{"revocations": [\n  ${[...entries, "…"].join(",\n  ")}\n ]${end}}`;
}

/** Null if it is not text. */
function textOf(bytes: ArrayBuffer): string | null {
  try {
    // The last character may be cut in two.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: true });
    return text.includes("\0") ? null : text;
  } catch {
    return null;
  }
}

const AN_ARRAY = "This is a JSON array. Write one object per line (NDJSON) instead: then a file of any "
  + "size can be read.";
const SHOWN_ROWS = 5;
const START_BYTES = 262_144;
