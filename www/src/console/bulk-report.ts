// The report of what failed, as CSV.

import type { Failure } from "./bulk-rows";

export function reportOf(failures: readonly Failure[]): Blob {
  const rows = failures.map(({ line, kind, id, code, detail }) => {
    return [String(line), kind, id, code, detail].map(quoted).join(",");
  });
  return new Blob([["line,kind,id,code,detail", ...rows, ""].join("\r\n")], { type: "text/csv" });
}

/** A spreadsheet would run what looks like a formula; an id may begin with a hyphen, though. */
function quoted(field: string): string {
  const isFormula = /^[=+@\t\r]/.test(field) || /^-.*[^\w.-]/s.test(field);
  return `"${isFormula ? "'" : ""}${field.replaceAll('"', '""')}"`;
}
