// Keeps floor and snapshots in a store, so that a restart neither trusts anything older nor has to
// wait for the feed. The floor is kept as the signed snapshot that leads there: what is read back is
// checked in the same way as what comes from the feed.

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
  /** Times, never promises: a request that waits for another one's I/O may wait forever. Until when
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
   * Brings back what was kept, once. A store that lies costs only what it held; one that fails
   * is asked again. While one request reads, the others wait: below the floor nothing is decided. If
   * that request is cut off, one of them reads in its place.
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
      // A clock that is days off: what is kept may be right, so nothing is written over it.
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

  /** One that would take longer is of a clock that was set back. */
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
   * Keeps what has changed, each thing at most so often: stores count their writes. One write at a
   * time: of two, the older could be the last to land. Before the store was read nothing is written,
   * for it may hold a higher floor.
   *
   * @param {boolean} [isLast] true to keep at least the floor, whenever it was kept before
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
      // A snapshot may have come while that was written, and this is the last chance to keep it.
      if (this.#isLast && this.#engine.newest !== this.#floor.newest) await this.#saveWhatIsDue();
    }
  }

  /**
   * Other verifiers may share the place. What one of them has kept beyond `newest` stays, and so do the
   * snapshots that lead there.
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
   * True also for a floor that only a wrong clock may make look impossible. A verifier of its own tells, in
   * which nothing else is in force.
   *
   * @param {Uint8Array} kept @param {Uint8Array} newest
   */
  #isBeyond(kept, newest) {
    try {
      ensureInstance();
      const wasm = /** @type {WasmVerifier} */ (WasmVerifier.make(this.#config));
      // Wasm's memory never shrinks: what is not a snapshot does not get into it.
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

  /** In whichever direction the clock was set. @param {number} at @param {number} seconds */
  #isPast(at, seconds) {
    return Math.abs(this.#clock() - at) >= seconds;
  }
}

/** What is kept under one name, and how often at most. */
class Kept {
  at = -Infinity;
  /** The newest snapshot when it was kept. @type {Uint8Array | undefined} */
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

/** A store that never answers delays no request for longer. @template T @param {Promise<T>} work @returns {Promise<T>} */
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

/** Several snapshots as one text of bytes: each with its length before it. @param {Uint8Array[]} parts */
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

/** The counterpart of `pack`; stops at the first thing that does not fit. @param {unknown} bytes */
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

/** A snapshot may be refused for these and is one all the same: the history is kept with them. */
const LESSONS = ["feed_fork", "feed_gap", "snapshot_from_the_future"];
const TOO_LARGE = { error: "snapshot_malformed", detail: "a part is larger than feed.maxBytes" };
/** Others have their turn after that. */
const LONGEST_TURN_MS = 20;
const MAX_STORE_MS = 5_000;
const STEP_MS = 25;
const READ_AGAIN_SECONDS = 30;
const IMPLAUSIBLE_FLOOR = "the stored floor is from more than a day after the present time: check the clock";
const FOREIGN_FLOOR = "the stored floor belongs to another feed or is signed by an untrusted key; ignored";
/** One that has not settled by then was cut off with the request that began it. */
const LONGEST_WRITE_SECONDS = 60;
