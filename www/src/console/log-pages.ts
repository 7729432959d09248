// The fetched pages of the log as one list without gaps.

import type { LogPage, LogRequest } from "../shared/answers";
import { claimsName } from "./revocation";

export interface Log {
  /** Newest first. */
  requests: readonly LogRequest[];
  /** The seq before which older requests are; null if there are none. */
  next: number | null;
}

/**
 * Puts the newest page in front of the list; what does not continue it is dropped. The list keeps its
 * length, so that a busy log does not fill the page.
 */
export function withNewest(held: Log | null, page: LogPage): Log {
  const whole = { requests: page.requests, next: page.next ?? null };
  const oldest = page.requests.at(-1);
  if (held === null || oldest === undefined) return whole;
  const from = held.requests.findIndex(({ position }) => position === oldest.position);
  if (from === -1) return whole;
  const all = [...page.requests, ...held.requests.slice(from + 1)];
  const requests = all.slice(0, Math.max(page.requests.length, held.requests.length));
  const last = requests.at(-1);
  const isCut = last !== undefined && requests.length < all.length;
  return { requests, next: isCut ? seqOf(last) : held.next };
}

export function withOlder(held: Log, page: LogPage): Log {
  const known = new Set(held.requests.map(({ position }) => position));
  const older = page.requests.filter(({ position }) => !known.has(position));
  return { requests: [...held.requests, ...older], next: page.next ?? null };
}

function seqOf({ position }: LogRequest): number | null {
  const seq = Number(position.split(".")[1]);
  return Number.isSafeInteger(seq) ? seq : null;
}

/** The kind of an entry, and the name in it. */
export function named(entry: { kind: string; [field: string]: unknown }): [string, unknown] {
  switch (entry.kind) {
    case "claims": return ["claims", claimsName(entry["claims"])];
    case "epoch": return ["every token before", entry["epoch"]];
    case "issuer": return ["issuer registered as", entry["name"]];
    case "issuer_removed": return ["issuer removed", entry["name"]];
    case "key": return ["key", entry["kid"]];
    case "refresh": return ["refresh tokens of", entry["session_id"]];
    case "session": return ["session", entry["session_id"]];
    case "sessions": return ["every session", ""];
    case "token": return ["token", entry["jti"]];
    case "user": return ["user", entry["sub"]];
    default: return [entry.kind, ""];
  }
}
