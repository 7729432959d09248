// Rows of a form to the `claims` of `POST /v1/revocations`, or to what is wrong with them.

import { sizeBytes } from "../shared/format";
import { unixSeconds, reasonProblem } from "./revocation";

/** How the value of a claim is read. */
export const VALUE_KINDS = { text: "Text", number: "Whole number", boolean: "true or false" } as const;
export type ValueKind = keyof typeof VALUE_KINDS;

export interface ClaimRow {
  /** Distinguishes the rows while they are edited. */
  key: number;
  path: string;
  kind: ValueKind;
  value: string;
}

export interface ClaimsDraft {
  /** Empty for this control plane. */
  issuer: string;
  rows: readonly ClaimRow[];
  issuedBefore: string;
  reason: string;
}

/** Checks what can be checked here. The control plane checks all of it. */
export function claimsBody(draft: ClaimsDraft): { body: string } | { complaint: string } {
  const { issuer, rows, issuedBefore, reason } = draft;
  const members: string[] = [];
  for (const [index, row] of rows.entries()) {
    const problem = rowProblem(row, rows.slice(0, index));
    if (problem !== null) return { complaint: `Claim ${index + 1}: ${problem}` };
    // Numbers are written as they were typed: a float would change the large ones.
    const value = row.kind === "text" ? JSON.stringify(row.value) : row.value.trim();
    members.push(`${JSON.stringify(row.path)}:${value}`);
  }
  const problem = reasonProblem(reason);
  if (problem !== null) return { complaint: problem };
  const parts = [`"claims":{${members.join(",")}}`];
  if (issuer !== "") parts.push(`"issuer":${JSON.stringify(issuer)}`);
  if (issuedBefore !== "") {
    const seconds = unixSeconds(issuedBefore, "issued_before");
    if (typeof seconds !== "number") return seconds;
    parts.push(`"issued_before":${seconds}`);
  }
  if (reason !== "") parts.push(`"reason":${JSON.stringify(reason)}`);
  return { body: `{${parts.join(",")}}` };
}

/** What is revoked, in words, such as `azp is “app” and sub is “alice”`. */
export function claimsText(rows: readonly ClaimRow[]): string {
  return rows.map(({ path, kind, value }) => {
    return `${path} is ${kind === "text" ? `“${value}”` : value.trim()}`;
  }).join(" and ");
}

function rowProblem({ path, kind, value }: ClaimRow, before: readonly ClaimRow[]): string | null {
  if (path === "") return "enter the name of the claim, or its path.";
  if (sizeBytes(path) > 128) return "its path is longer than 128 bytes.";
  if (before.some((row) => row.path === path)) return `${path} is named twice.`;
  if (kind === "text") {
    const size = sizeBytes(value);
    return size >= 1 && size <= 256 ? null : "its value must have 1 to 256 bytes.";
  }
  const text = value.trim();
  if (kind === "boolean") return /^(true|false)$/.test(text) ? null : "its value must be true or false.";
  const isWhole = /^(0|-?[1-9]\d{0,19})$/.test(text);
  const fits = isWhole && BigInt(text) >= -(2n ** 63n) && BigInt(text) < 2n ** 64n;
  return fits ? null : "its value must be a whole number of 64 bits.";
}

export const MAX_ROWS = 4;
