// The records of a cell's publisher, and the real snapshots that it makes from them.

import { sign } from "../support/fixture.mjs";
import { BEGIN_SECONDS, revoked } from "./cells.mjs";

/** How long a snapshot is fresh, and its maximum age; the defaults of both sides. */
export const VALID_SECONDS = 60;
/** The interval of new bases while there is news; without news a base is rebuilt at half of its lifetime. */
const BASE_SECONDS = 10;
/** Entries of the base that no token here has: the size of a base is measured, not assumed. */
const OTHER_ENTRIES = 10_000;
/** Most followers are at one of the last positions; one run of the signer signs for all of these. */
const POSITIONS_AT_ONCE = 12;

/** @typedef {{ base: boolean, bytes: Buffer, era: number, feed: string, from: number, issuedAt: number,
 *   name: string, to: number }} Snapshot */

/** No base here has the position of another one, and readers do not compare digests. */
const DIGEST = "0000000000000000";

/** Signed once for all scenarios of a process, by content. @type {Map<string, Snapshot>} */
const signed = new Map();
/** The same by their signature, which identifies the content. @type {Map<string, Snapshot>} */
const bySignature = new Map();

export class Log {
  /** When each record was written, seconds; the first is record 1. @type {number[]} */
  times = [];
  era = 1;
  #base = { builtAt: -Infinity, to: -1 };
  #cell;
  /** When each base was built, by its position. @type {Map<string, number>} */
  #bases = new Map();
  /** The record at which the era began. */
  #first = 1;
  /** Heads by their content. @type {Map<string, Buffer>} */
  #heads = new Map();

  /** @param {import("./cells.mjs").Cell} cell */
  constructor(cell) {
    this.#cell = cell;
    // Verifiers need its public key.
    this.#snapshot(1, 0, 1, 0, true);
  }

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
    if (era !== this.era) this.#first = this.seq;
    this.era = era;
    this.#build(now, this.seq);
  }

  /**
   * The answer of the control plane (`Plane::snapshot`): a delta if it knows the position, and the newest base
   * otherwise.
   *
   * @param {string | null} since @param {number} now seconds
   */
  snapshot(since, now) {
    this.#keepBase(now, this.seq);
    const [era, from] = (since ?? "0.0").split(".").map(Number);
    const issuedAt = Math.floor(now);
    if (era === this.era) return this.#snapshot(this.era, from, this.seq, issuedAt);
    const { builtAt, to } = this.#base;
    return this.#snapshot(this.era, 0, to, Math.floor(builtAt), true);
  }

  /**
   * A file of the feed as it is in a store, into which everything up to `at` was written: the newest head, or a part.
   *
   * @param {string} name @param {number} at seconds @returns {{ bytes: Buffer, isPart: boolean, tag: string }}
   */
  file(name, at) {
    if (name === "head") return this.#head(at);
    const positions = name.replace(/^[a-z]+\//, "").replace(/-.*/, "").split("_");
    const [[era, from], [, to]] = [positions[0], positions.at(-1)].map((one) => one.split(".").map(Number));
    const { bytes } = name.startsWith("bases/")
      ? this.#snapshot(era, 0, to, this.#bases.get(positions[0]), true)
      : this.#delta(era, from, to);
    return { bytes, isPart: true, tag: name };
  }

  /** @param {number} at */
  #head(at) {
    const seq = this.times.filter((time) => time <= at).length;
    this.#keepBase(at, seq);
    const { era } = this;
    const issuedAt = Math.floor(at);
    const base = `${era}.${this.#base.to}`;
    const tag = `${base} ${era}.${seq} ${issuedAt}`;
    let bytes = this.#heads.get(tag);
    if (bytes === undefined) {
      const deltas = rangesOf(this.#first, seq).map(([from, to]) =>
        ({ from: `${era}.${from}`, to: `${era}.${to}`, bytes: this.#delta(era, from, to).bytes.length }));
      bytes = Buffer.from(JSON.stringify({
        format: 1,
        feed: this.#cell.feed,
        position: `${era}.${seq}`,
        heartbeat: this.#snapshot(era, seq, seq, issuedAt).bytes.toString("base64"),
        base: { position: base, digest: DIGEST, bytes: this.file(`bases/${base}`, at).bytes.length },
        deltas,
      }));
      this.#heads.set(tag, bytes);
    }
    return { bytes, isPart: false, tag };
  }

  /** @param {number} era @param {number} from @param {number} to */
  #delta(era, from, to) {
    // A part proves no freshness: it is signed with the time 0.
    return this.#snapshot(era, from, to, -BEGIN_SECONDS);
  }

  /** @returns {Snapshot} */
  #snapshot(...what) {
    const name = nameOf(this.#cell, ...what);
    if (!signed.has(name)) signAll(this.#cell, ...what);
    return signed.get(name);
  }

  /** @param {number} now @param {number} seq of the newest record that it may contain */
  #keepBase(now, seq) {
    const age = now - this.#base.builtAt;
    const isDue = (seq > this.#base.to && age >= BASE_SECONDS) || age >= VALID_SECONDS / 2;
    if (isDue) this.#build(now, seq);
  }

  /** @param {number} now @param {number} to */
  #build(now, to) {
    this.#base = { builtAt: now, to };
    // A part keeps its content: of two bases for one position the store has the first.
    const position = `${this.era}.${to}`;
    if (!this.#bases.has(position)) this.#bases.set(position, Math.floor(now));
  }
}

/**
 * The deltas that a head lists (HEAD.md), one from each start: from the seven multiples of eight before the last one to
 * that, from the seven records before a multiple to it, and from the last multiple and the last record to the newest.
 */
function rangesOf(first, seq) {
  /** @type {Map<number, number>} */
  const found = new Map();
  for (let to = Math.max(1, seq - 64); to <= seq; to += 1) {
    const last = to - (to % 8);
    const starts = to % 8 === 0 ? [...Array(8).keys()].flatMap((nth) => [to - nth, to - 8 * nth]) : [to - 1, last];
    for (const from of starts) if (from >= first && from < to) found.set(from, to);
  }
  return [...found].sort(([one], [other]) => one - other);
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

function signAll(cell, era, from, to, issuedAt, base = false) {
  const starts = new Set([from]);
  const others = base ? 0 : Math.min(POSITIONS_AT_ONCE, to);
  for (let back = 0; back < others; back += 1) starts.add(to - back);
  // By the format, a range from 0 is a base; no follower is ever at position 0 here.
  const all = [...starts].filter((start) => base || start > 0);
  const issued = BEGIN_SECONDS + issuedAt;
  const { feed, issuer, seed } = cell;
  const { publicKey, snapshots } = sign(all.map((start) => ({
    feed, issuer, seed, era, from: start, to, issued_at: issued, valid_until: issued + VALID_SECONDS,
    tokens: Array.from({ length: to - start }, (_, at) => revoked(start + at + 1)),
    extra: base ? OTHER_ENTRIES : 0,
  })));
  cell.publicKey = publicKey;
  all.forEach((start, at) => {
    const name = nameOf(cell, era, start, to, issuedAt, base);
    const snapshot = { base, bytes: snapshots[at], era, feed, from: start, issuedAt, name, to };
    signed.set(name, snapshot);
    bySignature.set(signatureOf(snapshot.bytes), snapshot);
  });
}

const nameOf = ({ feed }, era, from, to, issuedAt, base) =>
  `${feed} ${era}.${from}-${to}@${issuedAt}${base ? " base" : ""}`;
