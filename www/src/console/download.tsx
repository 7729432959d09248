// Tables as CSV files.

interface Props {
  text: string;
  /** The file's name. */
  name: string;
  content(): string;
}

export function Download({ text, name, content }: Props) {
  return <button type="button" onClick={() => save(name, content())}>{text}</button>;
}

export function csvOf(rows: readonly string[][]): string {
  return [...rows.map((row) => row.map(quoted).join(",")), ""].join("\r\n");
}

function save(name: string, csv: string): void {
  const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser reads the file a little later.
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

/**
 * A spreadsheet runs text that looks like a formula; an id may begin with a hyphen, though. A
 * spreadsheet that splits at semicolons or tabs also makes cells of what is after them in a field.
 */
function quoted(field: string): string {
  const isFormula = /^[=+@＝＋－＠\t\r]/.test(field) || /^-.*[^\w.-]/s.test(field);
  const text = field.replace(INNER_FORMULA, "$&'").replaceAll('"', '""');
  return `"${isFormula ? "'" : ""}${text}"`;
}

const INNER_FORMULA = /[;\t\r\n](?:"|[^\S\t\r\n])*(?=[=+\-@＝＋－＠])/g;
const KEPT_MS = 60_000;
