// The records of the publisher of a simulation, and the real snapshots that it makes from them.

import { sign } from "../support/fixture.mjs";

/** The second at which virtual time begins, unix seconds. */
export const BEGIN_SECONDS = 1_800_000_000;
/** How long a snapshot is fresh, and its maximum age; the defaults of both sides. */
export const VALID_SECONDS = 60;
/** The interval of new bases while there is news; without news a base is rebuilt at half of its lifetime. */
const BASE_SECONDS = 10;
/** Entries of the base that no token here has: the size of a base is measured, not assumed. */
const OTHER_ENTRIES = 10_000;
/** Most followers are at one of the last positions; one run of the signer signs for all of these. */
const POSITIONS_AT_ONCE = 12;

/** @typedef {{ base: boolean, bytes: Buffer, era: number, from: number, issuedAt: number,
 *   name: string, to: number }} Snapshot */

/** Signed once for all scenarios of a process, by content. @type {Map<string, Snapshot>} */
const signed = new Map();
/** The same by their signature, which identifies the content. @type {Map<string, Snapshot>} */
const bySignature = new Map();
export let publicKey;

/** The token that this record revokes. @param {number} seq */
export const revoked = (seq) => `revoked ${seq}`;

export class Log {
  /** When each record was written, seconds; the first is record 1. @type {number[]} */
  times = [];
  era = 1;
  #base = { builtAt: -Infinity, to: -1 };

  get seq() {
    return this.times.length;
  }

  get position() {
    return `${this.era}.${this.seq}`;
  }

  /** Appends a record. @param {number} now seconds */
  revoke(now) {
    this.times.push(now);
    return this.seq;
  }

  /** A process that starts builds its base immediately, from all records. @param {number} now */
  restart(now, era = this.era) {
    this.era = era;
    this.#base = { builtAt: now, to: this.seq };
  }

  /**
   * The answer of the control plane (`Plane::snapshot`): a delta if it knows the position, and the newest base
   * otherwise.
   *
   * @param {string | null} since @param {number} now seconds
   */
  snapshot(since, now) {
    this.#keepBase(now);
    const [era, from] = (since ?? "0.0").split(".").map(Number);
    const issuedAt = Math.floor(now);
    if (era === this.era) return snapshotOf(this.era, from, this.seq, issuedAt);
    const { builtAt, to } = this.#base;
    return snapshotOf(this.era, 0, to, Math.floor(builtAt), true);
  }

  /** @param {number} now */
  #keepBase(now) {
    const age = now - this.#base.builtAt;
    const isDue = (this.seq > this.#base.to && age >= BASE_SECONDS) || age >= VALID_SECONDS / 2;
    if (isDue) this.#base = { builtAt: now, to: this.seq };
  }
}

/** The content that a verifier gets from the bytes it has read. @param {Uint8Array} bytes */
export function recognise(bytes) {
  return bySignature.get(signatureOf(bytes));
}

/** The first half of the signature distinguishes any two snapshots. @param {Uint8Array} bytes */
function signatureOf(bytes) {
  let text = "";
  for (let at = 14; at < 30; at += 1) text += String.fromCharCode(bytes[at]);
  return text;
}

/** @returns {Snapshot} */
function snapshotOf(era, from, to, issuedAt, base = false) {
  const name = nameOf(era, from, to, issuedAt, base);
  if (!signed.has(name)) signAll(era, from, to, issuedAt, base);
  return signed.get(name);
}

function signAll(era, from, to, issuedAt, base) {
  const starts = new Set([from]);
  const others = base ? 0 : Math.min(POSITIONS_AT_ONCE, to);
  for (let back = 0; back < others; back += 1) starts.add(to - back);
  // By the format, a range from 0 is a base; no follower is ever at position 0 here.
  const all = [...starts].filter((start) => base || start > 0);
  const issued = BEGIN_SECONDS + issuedAt;
  const { publicKey: key, snapshots } = sign(all.map((start) => ({
    era, from: start, to, issued_at: issued, valid_until: issued + VALID_SECONDS,
    tokens: Array.from({ length: to - start }, (_, at) => revoked(start + at + 1)),
    extra: base ? OTHER_ENTRIES : 0,
  })));
  publicKey = key;
  all.forEach((start, at) => {
    const name = nameOf(era, start, to, issuedAt, base);
    const snapshot = { base, bytes: snapshots[at], era, from: start, issuedAt, name, to };
    signed.set(name, snapshot);
    bySignature.set(signatureOf(snapshot.bytes), snapshot);
  });
}

const nameOf = (era, from, to, issuedAt, base) =>
  `${era}.${from}-${to}@${issuedAt}${base ? " base" : ""}`;

snapshotOf(1, 0, 1, 0, true);
