// The body of `POST /v1/revocations`: from fields to an entry, or to what is wrong with them.

import { sizeBytes } from "../shared/format";
import { isObject } from "../shared/request";

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

export type Claims = Record<string, string | number | boolean>;

/** One entry, as the API takes it. */
export type Entry = Partial<Record<Kind | "issuer", string>> & {
  claims?: Claims;
  exp?: number;
  issued_before?: number;
};

/** What an entry names; empty for nothing. */
export type EntryKind = Kind | "claims" | "";

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
    if (isSecret) return { complaint: `${kind}: names its issuer itself; leave the issuer out` };
    if (sizeBytes(fields.issuer) > 512) return { complaint: "issuer: is longer than 512 bytes" };
    entry.issuer = fields.issuer;
  }
  if (fields.exp) {
    const exp = unixSeconds(fields.exp);
    if (typeof exp !== "number") return exp;
    if (kind === "kid" || isSecret) return { complaint: `exp: is not allowed with ${kind}` };
    entry.exp = exp;
  }
  return { entry };
}

/** An API object of a file: every member must be known and of its type. */
export function entryOfObject(value: unknown): Checked<Entry & { reason?: string }> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { complaint: "is not a JSON object" };
  }
  const fields: Fields = {};
  const more: Pick<Entry, "claims" | "issued_before"> = {};
  let reason: string | undefined;
  for (const [name, field] of Object.entries(value)) {
    if (field === null) continue;
    if (name === "exp" || name === "issued_before") {
      const isTime = Number.isSafeInteger(field) && field >= 0;
      if (!isTime) return { complaint: `${name}: is not unix seconds` };
      if (name === "exp") fields.exp = String(field);
      else more.issued_before = field;
    } else if (name === "claims") {
      if (!isClaims(field)) return { complaint: `claims: ${NO_CLAIMS}` };
      more.claims = field;
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
  const checked = more.claims === undefined ? entryOf(fields) : besideClaims(fields);
  if ("complaint" in checked) return checked;
  return { entry: { ...checked.entry, ...more, ...(reason !== undefined && { reason }) } };
}

function besideClaims({ exp, issuer, ...others }: Fields): Checked<Entry> {
  const [kind] = Object.keys(others);
  if (kind !== undefined) return { complaint: `${kind}: is not allowed with claims` };
  return { entry: { ...(issuer !== undefined && { issuer }), ...(exp !== undefined && { exp: Number(exp) }) } };
}

/** JSON.parse alters numbers beyond 2^53: they are not sent. */
function isClaims(value: unknown): value is Claims {
  if (!isObject(value)) return false;
  const isRight = (one: unknown) =>
    typeof one === "string" || typeof one === "boolean" || Number.isSafeInteger(one);
  const values = Object.values(value);
  return values.length >= 1 && values.length <= 4 && values.every(isRight);
}

/** Such as `azp: app + sub: alice`. */
export function claimsName(claims: unknown): string {
  if (!isObject(claims)) return "";
  return Object.entries(claims).map(([path, value]) => `${path}: ${value}`).join(" + ");
}

/** Unix seconds, or a date in ISO 8601. */
export function unixSeconds(text: string, field = "exp"): number | { complaint: string } {
  const trimmed = text.trim();
  const seconds = /^\d+$/.test(trimmed) ? Number(trimmed) : Math.floor(Date.parse(trimmed) / 1000);
  const isDate = /^\d+$/.test(trimmed) || /^\d{4}-\d{2}-\d{2}/.test(trimmed);
  if (!isDate || !Number.isSafeInteger(seconds) || seconds < 0) {
    return { complaint: `${field}: is neither unix seconds nor a date such as 2030-01-31T12:00:00Z` };
  }
  if (seconds <= LATEST_SECONDS) return seconds;
  return { complaint: `${field}: looks like milliseconds; give seconds` };
}

/** The name of an entry in a row, a preview or a report; never a token. */
export function entryName(entry: Entry): [EntryKind, string] {
  if (entry.claims !== undefined) return ["claims", claimsName(entry.claims)];
  const kind = KIND_NAMES.find((one) => entry[one] !== undefined);
  if (kind === undefined) return ["", ""];
  const isSecret = kind === "token" || kind === "refresh_token";
  return [kind, isSecret ? "(not shown)" : (entry[kind] ?? "")];
}

export function reasonProblem(reason: string): string | null {
  return sizeBytes(reason) > 500 ? "reason: is longer than 500 bytes" : null;
}

const NO_CLAIMS = "is not an object with one to four texts, whole numbers (to 2^53), true or false";
/** The year 2286; in milliseconds that was in April 1970. */
const LATEST_SECONDS = 9_999_999_999;
