// Time that passes as fast as the program can run, the same in every run: this file replaces timers, clocks and
// random numbers, and the network is a function.

import { chance } from "./chance.mjs";

const REAL = {
  abortTimeout: AbortSignal.timeout,
  clearTimeout: globalThis.clearTimeout,
  dateNow: Date.now,
  fetch: globalThis.fetch,
  performanceNow: performance.now,
  random: Math.random,
  setImmediate: globalThis.setImmediate,
  setTimeout: globalThis.setTimeout,
};

/** One error for all: its stack has no meaning here, and creating it costs more than a poll. */
const LATE = new DOMException("too late", "TimeoutError");

/** Milliseconds since the epoch at which it begins. */
const BEGIN = 1_800_000_000_000;

export class VirtualTime {
  /** Since the beginning, milliseconds. */
  now = 0;
  /** The error of the wall clock, milliseconds; other clocks have none. */
  wallOffset = 0;
  /** The work to do, by the millisecond. @type {Map<number, Set<{ run: () => void }>>} */
  #due = new Map();

  /** @param {(url: URL, request: RequestInit) => Response | Promise<Response>} answer */
  constructor(answer, seed = 1) {
    Math.random = chance(seed);
    Date.now = () => BEGIN + this.now + this.wallOffset;
    performance.now = () => this.now;
    globalThis.setTimeout = (run, milliseconds = 0, ...args) =>
      this.#later(() => run(...args), milliseconds);
    globalThis.clearTimeout = (timer) => timer?.cancel?.();
    AbortSignal.timeout = (milliseconds) => {
      const abort = new AbortController();
      const late = () => abort.abort(LATE);
      this.#later(late, milliseconds);
      return abort.signal;
    };
    globalThis.fetch = (url, request = {}) =>
      new Promise((resolve, reject) => {
        const { signal } = request;
        if (signal?.aborted) reject(signal.reason);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
        Promise.resolve(answer(new URL(url), request)).then(resolve, reject);
      });
  }

  /** Unix seconds of the wall clock. */
  get unix() {
    return (BEGIN + this.now + this.wallOffset) / 1000;
  }

  /** How many timers are waiting. */
  get waiting() {
    return [...this.#due.values()].reduce((sum, timers) => sum + timers.size, 0);
  }

  /** Lets this many seconds pass. @param {number} seconds */
  async pass(seconds) {
    await settled();
    for (const end = this.now + seconds * 1000; this.now < end; this.now += 1) {
      // The work may add more work for the same moment.
      for (let timers; (timers = this.#due.get(this.now)); ) {
        this.#due.delete(this.now);
        for (const timer of timers) timer.run();
        await settled();
      }
    }
  }

  /** Restores the global functions. */
  stop() {
    AbortSignal.timeout = REAL.abortTimeout;
    Date.now = REAL.dateNow;
    Math.random = REAL.random;
    performance.now = REAL.performanceNow;
    const { clearTimeout, fetch, setTimeout } = REAL;
    Object.assign(globalThis, { clearTimeout, fetch, setTimeout });
  }

  /** @param {() => void} run @param {number} milliseconds */
  #later(run, milliseconds) {
    const at = this.now + Math.max(1, Math.ceil(milliseconds));
    const timers = this.#due.get(at) ?? new Set();
    this.#due.set(at, timers);
    const timer = new Timer(run, timers);
    timers.add(timer);
    return timer;
  }
}

/** A timer that waits, among those of its millisecond. */
class Timer {
  #all;

  /** @param {() => void} run @param {Set<Timer>} all */
  constructor(run, all) {
    this.run = run;
    this.#all = all;
  }

  cancel() {
    this.#all.delete(this);
  }

  ref() {
    return this;
  }

  unref() {
    return this;
  }
}

/** Until all remaining work waits for time to pass. */
export async function settled() {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resume) => REAL.setImmediate(resume));
}
