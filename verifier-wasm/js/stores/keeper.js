// Stores floor and snapshots, so that a restarted verifier neither trusts anything older nor has to wait for
// the feed. The floor is stored as the signed snapshot that leads there: it is checked like a snapshot from the
// feed when it is read.

import { WasmVerifier } from "../../pkg/offswitch.js";
import { afterError, ensureInstance } from "../engine/instance.js";
import { HEAD_BYTES, IMPLAUSIBLE, RAISED } from "../engine/layout.js";

/**
 * @typedef {import("./stores.d.ts").Place} Place
 * @typedef {import("../index.d.ts").ApplyResult} ApplyResult
 *
 * @typedef {(engine: import("../engine/engine.js").Engine, clock: () => number, maxBytes: number,
 *   report: (problem: string) => void, config: Uint8Array) => Keeper} MakeKeeper
 */

export class Keeper {
  #clock;
  #config;
  #engine;
  #maxBytes;
  #place;
  #report;
  #floor = new Kept("floor", 2);
  #snapshots = new Kept("snapshots", 60);
  #isLast = false;
  #isRestored = false;
  /** Times, never promises: a request that waits for another one's I/O may wait for ever. The time until which
   * one request is reading, milliseconds; when reading last failed, and since when one is writing. */
  #readingUntil = -Infinity;
  /** How many requests have begun to read: the last of them has the lease. */
  #readers = 0;
  #failedAt = -Infinity;
  #writingSince = -Infinity;

  /**
   * @param {Place} place @param {import("../engine/engine.js").Engine} engine @param {() => number} clock
   * @param {number} maxBytes of one snapshot @param {(problem: string) => void} report
   * @param {Uint8Array} config of the verifier in wasm
   */
  constructor(place, engine, clock, maxBytes, report, config) {
    this.#config = config;
    this.#place = place;
    this.#engine = engine;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
    this.#report = report;
  }

  /**
   * Restores the stored values, once. A store that lies loses only its content; one that fails is read again.
   * While one request reads, the others wait: below the floor nothing is decided. If that request is cut off,
   * one of them reads instead.
   *
   * @param {(bytes: Uint8Array) => ApplyResult} apply
   */
  async restore(apply) {
    for (const end = performance.now() + 2 * MAX_STORE_MS; this.#isReading && performance.now() < end;) {
      await new Promise((resume) => setTimeout(resume, STEP_MS));
    }
    if (this.#isRestored || !this.#isPast(this.#failedAt, READ_AGAIN_SECONDS)) return;
    const turn = (this.#readers += 1);
    try {
      const floor = await this.#read(this.#floor);
      const problem = isSnapshot(floor, this.#maxBytes) ? this.#engine.resume(floor) : undefined;
      // The clock is days off: the stored values may be right, so they are not overwritten.
      if (problem === "implausible") throw new Error(IMPLAUSIBLE_FLOOR);
      this.#isRestored = true;
      if (problem === "foreign") this.#report(FOREIGN_FLOOR);
      await this.#restoreAll(await this.#read(this.#snapshots), apply);
    } catch (error) {
      if (turn === this.#readers) this.#failedAt = this.#clock();
      this.#report(`reading the stored snapshots failed: ${reason(error)}`);
    } finally {
      if (turn === this.#readers) this.#readingUntil = -Infinity;
    }
  }

  /** A longer lease comes from a clock that was set back. */
  get #isReading() {
    const left = this.#readingUntil - performance.now();
    return left > 0 && left <= MAX_STORE_MS;
  }

  /** @param {Kept} kept */
  #read({ name }) {
    this.#readingUntil = performance.now() + MAX_STORE_MS;
    return inTime(this.#place.read(name));
  }

  /**
   * Ends at the first part that is not a snapshot: otherwise an attacker who can write to the store could
   * make the verifier spend any amount of time.
   *
   * @param {unknown} kept @param {(bytes: Uint8Array) => ApplyResult} apply
   */
  async #restoreAll(kept, apply) {
    let began = performance.now();
    for (const bytes of unpack(kept)) {
      const result = isSnapshot(bytes, this.#maxBytes) ? apply(bytes) : TOO_LARGE;
      if ("error" in result && !LESSONS.includes(result.error)) {
        return this.#report(`the rest of the stored snapshots is ignored: ${result.detail}`);
      }
      if (performance.now() - began > LONGEST_TURN_MS) {
        await new Promise((resume) => setTimeout(resume));
        began = performance.now();
      }
    }
  }

  /**
   * Stores what has changed, each value with a minimum interval: stores count their writes. One write at a
   * time: of two, the older could complete last. Before the store was read nothing is written, because it may
   * have a higher floor.
   *
   * @param {boolean} [isLast] true to store at least the floor, regardless of the interval
   */
  async save(isLast = false) {
    this.#isLast ||= isLast;
    if (!this.#isRestored || !this.#isPast(this.#writingSince, LONGEST_WRITE_SECONDS)) return;
    this.#writingSince = this.#clock();
    const writing = this.#saveWhatIsDue().finally(() => {
      this.#writingSince = -Infinity;
    });
    await inTime(writing).catch((error) => this.#report(`writing to the store failed: ${reason(error)}`));
  }

  async #saveWhatIsDue() {
    const { newest } = this.#engine;
    if (newest === undefined) return;
    if (this.#isDue(this.#floor)) await this.#saveFloor(newest);
    try {
      if (this.#isLast || !this.#isDue(this.#snapshots)) return;
      await this.#write(this.#snapshots, this.#engine.newest, pack([...this.#engine.snapshots()]));
    } finally {
      // A snapshot may have come during the write, and this is the last chance to store it.
      if (this.#isLast && this.#engine.newest !== this.#floor.newest) await this.#saveWhatIsDue();
    }
  }

  /**
   * Other verifiers may share the place. A floor that one of them has stored beyond `newest` stays, and so do
   * the snapshots that lead there.
   *
   * @param {Uint8Array} newest
   */
  async #saveFloor(newest) {
    this.#floor.at = this.#clock();
    const kept = await this.#place.read(this.#floor.name);
    if (isSnapshot(kept, this.#maxBytes) && this.#isBeyond(kept, newest)) {
      this.#floor.newest = this.#snapshots.newest = newest;
    } else {
      // A copy: the store may change the bytes.
      await this.#write(this.#floor, newest, newest.slice());
    }
  }

  /**
   * True also for a floor that only looks impossible because of a wrong clock. A separate verifier decides
   * that, in which nothing else is in force.
   *
   * @param {Uint8Array} kept @param {Uint8Array} newest
   */
  #isBeyond(kept, newest) {
    try {
      ensureInstance();
      const wasm = /** @type {WasmVerifier} */ (WasmVerifier.make(this.#config));
      // Wasm's memory never shrinks: data that is not a snapshot must not enter it.
      const codes = wasm.preview(kept.subarray(0, HEAD_BYTES))
        ? [newest, kept].map((bytes) => wasm.resume(bytes, this.#clock()))
        : [];
      wasm.free();
      return [RAISED, IMPLAUSIBLE].includes(codes[1]);
    } catch (error) {
      throw afterError(error);
    }
  }

  /** @param {Kept} kept */
  #isDue(kept) {
    const isTime = this.#isLast || this.#isPast(kept.at, kept.seconds);
    return isTime && kept.newest !== this.#engine.newest;
  }

  /** @param {Kept} kept @param {Uint8Array | undefined} newest @param {Uint8Array} bytes */
  async #write(kept, newest, bytes) {
    kept.at = this.#clock();
    await this.#place.write(kept.name, bytes);
    kept.newest = newest;
  }

  /** Whichever way the clock was set. @param {number} at @param {number} seconds */
  #isPast(at, seconds) {
    return Math.abs(this.#clock() - at) >= seconds;
  }
}

/** The value under one name, and how often it is stored at most. */
class Kept {
  at = -Infinity;
  /** The newest snapshot at the time of the last write. @type {Uint8Array | undefined} */
  newest;

  /** @param {string} name @param {number} seconds */
  constructor(name, seconds) {
    this.name = name;
    this.seconds = seconds;
  }
}

/** @param {unknown} bytes @param {number} maxBytes @returns {bytes is Uint8Array} */
function isSnapshot(bytes, maxBytes) {
  return bytes instanceof Uint8Array && bytes.byteLength <= maxBytes;
}

/** @param {unknown} error */
function reason(error) {
  return error instanceof Error ? error.message : String(error);
}

/** A store that never answers delays a request only for this long. @template T @param {Promise<T>} work @returns {Promise<T>} */
async function inTime(work) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("the store did not answer")), MAX_STORE_MS);
  });
  try {
    return await Promise.race([work, /** @type {Promise<never>} */ (late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** Several snapshots as one byte string: each with its length before it. @param {Uint8Array[]} parts */
function pack(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.byteLength, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const part of parts) {
    view.setUint32(at, part.byteLength);
    bytes.set(part, at + 4);
    at += 4 + part.byteLength;
  }
  return bytes;
}

/** The counterpart of `pack`; stops at the first part that does not fit. @param {unknown} bytes */
function* unpack(bytes) {
  if (!(bytes instanceof Uint8Array)) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.byteLength; ) {
    const end = at + 4 + view.getUint32(at);
    if (end > bytes.byteLength) return;
    yield bytes.slice(at + 4, end);
    at = end;
  }
}

/** A snapshot that is refused with one of these codes is a real snapshot: they are stored with the history. */
const LESSONS = ["feed_fork", "feed_gap", "snapshot_from_the_future"];
const TOO_LARGE = { error: "snapshot_malformed", detail: "a part is larger than feed.maxBytes" };
/** After that, other work has its turn. */
const LONGEST_TURN_MS = 20;
const MAX_STORE_MS = 5_000;
const STEP_MS = 25;
const READ_AGAIN_SECONDS = 30;
const IMPLAUSIBLE_FLOOR = "the stored floor is from more than a day after the present time: check the clock";
const FOREIGN_FLOOR = "the stored floor belongs to another feed or is signed by an untrusted key; ignored";
/** A write that has not settled by then was cut off with the request that began it. */
const LONGEST_WRITE_SECONDS = 60;
