// The body of `POST /v1/revocations`: from fields to an entry, or to what is wrong with them.

import { sizeBytes } from "../shared/format";

/** What can be revoked, by the API's names. */
export const KINDS = {
  token: "Access token",
  jti: "Token by its jti",
  session_id: "Session",
  sub: "User",
  kid: "Signing key",
  refresh_token: "Refresh token",
} as const;
export type Kind = keyof typeof KINDS;
export const KIND_NAMES = Object.keys(KINDS) as Kind[];

export function isKind(name: string): name is Kind {
  return Object.hasOwn(KINDS, name);
}

/** One entry, as the API takes it. */
export type Entry = Partial<Record<Kind | "issuer", string>> & { exp?: number };

export type Checked<T> = { entry: T } | { complaint: string };

/** Filled-in fields by name; empty ones are left out. */
export type Fields = Partial<Record<Kind | "exp" | "issuer", string>>;

/** Checks what can be checked here. The control plane checks all of it. */
export function entryOf(fields: Fields): Checked<Entry> {
  const kinds = KIND_NAMES.filter((kind) => (fields[kind] ?? "") !== "");
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) {
    return { complaint: `give exactly one of ${KIND_NAMES.join(", ")}` };
  }
  const name = fields[kind] ?? "";
  const isSecret = kind === "token" || kind === "refresh_token";
  if (!isSecret && sizeBytes(name) > 256) return { complaint: `${kind}: is longer than 256 bytes` };
  if (sizeBytes(name) > 16_384) return { complaint: `${kind}: is longer than any token` };
  const entry: Entry = { [kind]: name };
  if (fields.issuer) {
    if (isSecret) return { complaint: `${kind}: is always of this control plane; leave the issuer out` };
    if (sizeBytes(fields.issuer) > 512) return { complaint: "issuer: is longer than 512 bytes" };
    entry.issuer = fields.issuer;
  }
  if (fields.exp) {
    const exp = unixSeconds(fields.exp);
    if (typeof exp !== "number") return exp;
    if (kind === "kid" || isSecret) return { complaint: `exp: is not allowed with ${kind}` };
    entry.exp = exp;
  } else if (kind === "jti") {
    return { complaint: "exp: is missing; a jti is kept until its token expires" };
  }
  return { entry };
}

/** An API object of a file: every member must be known and of its type. */
export function entryOfObject(value: unknown): Checked<Entry & { reason?: string }> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { complaint: "is not a JSON object" };
  }
  const fields: Fields = {};
  let reason: string | undefined;
  for (const [name, field] of Object.entries(value)) {
    if (field === null) continue;
    if (name === "exp") {
      const isTime = Number.isSafeInteger(field) && field >= 0;
      if (!isTime) return { complaint: "exp: is not unix seconds" };
      fields.exp = String(field);
    } else if (typeof field !== "string") {
      return { complaint: `${name.slice(0, 40)}: is not a string` };
    } else if (name === "reason") {
      reason = field;
    } else if (name === "issuer" || isKind(name)) {
      fields[name] = field;
    } else {
      return { complaint: `${name.slice(0, 40)}: is not a name that the API knows` };
    }
  }
  const checked = entryOf(fields);
  if ("complaint" in checked || reason === undefined) return checked;
  return { entry: { ...checked.entry, reason } };
}

/** Unix seconds, or a date in ISO 8601. */
export function unixSeconds(text: string): number | { complaint: string } {
  const trimmed = text.trim();
  const seconds = /^\d+$/.test(trimmed) ? Number(trimmed) : Math.floor(Date.parse(trimmed) / 1000);
  const isDate = /^\d+$/.test(trimmed) || /^\d{4}-\d{2}-\d{2}/.test(trimmed);
  if (!isDate || !Number.isSafeInteger(seconds) || seconds < 0) {
    return { complaint: "exp: is neither unix seconds nor a date such as 2030-01-31T12:00:00Z" };
  }
  if (seconds <= LATEST_SECONDS) return seconds;
  return { complaint: "exp: looks like milliseconds; give seconds" };
}

/** The name of an entry in a row, a preview or a report; never a token. */
export function entryName(entry: Entry): [Kind | "", string] {
  const kind = KIND_NAMES.find((one) => entry[one] !== undefined);
  if (kind === undefined) return ["", ""];
  const isSecret = kind === "token" || kind === "refresh_token";
  return [kind, isSecret ? "(not shown)" : (entry[kind] ?? "")];
}

export function reasonProblem(reason: string): string | null {
  return sizeBytes(reason) > 500 ? "reason: is longer than 500 bytes" : null;
}

/** The year 2286; in milliseconds that was in April 1970. */
const LATEST_SECONDS = 9_999_999_999;
