// Tokens whose holders are still connected, each with a callback for when it is no longer valid. All are
// checked at each news of the feed, and each by its own timer: without any news a token expires, and a feed
// that is cut off becomes stale. In Workers a timer belongs to the request that set it.

import { unharmed } from "../engine/instance.js";
import { unverified } from "../engine/unverified.js";

/**
 * @typedef {import("../index.d.ts").Verdict} Verdict
 * @typedef {import("../index.d.ts").WatchOptions} WatchOptions
 *
 * @typedef {object} Watcher
 * @property {(verdict: any) => void} callback
 * @property {((verdict: any) => void) | undefined} onUndecided
 * @property {boolean} isUndecided since the last look
 * @property {boolean} isKnown since the token was found good in its slot
 * @property {number} slot
 * @property {string} token
 * @property {number} expiresAt unix seconds; Infinity where the token does not say
 * @property {ReturnType<typeof setTimeout> | undefined} timer
 */

export class Watchers {
  #clock;
  #review;
  /** @type {Set<Watcher>} */
  #watchers = new Set();
  /** Slots of removed watchers. @type {number[]} */
  #free = [];
  #secondsUntilStale;

  /**
   * @param {(watcher: Watcher) => Verdict | undefined} review the verdict, or nothing on a valid token
   * @param {() => number} clock unix seconds
   * @param {() => number} secondsUntilStale until the feed is too old to decide by
   */
  constructor(review, clock, secondsUntilStale) {
    this.#review = review;
    this.#clock = clock;
    this.#secondsUntilStale = secondsUntilStale;
  }

  get size() {
    return this.#watchers.size;
  }

  /**
   * Calls back once the token is refused; returns a function that stops that.
   *
   * @param {string} token @param {(verdict: any) => void} callback @param {WatchOptions} [options]
   */
  add(token, callback, { onUndecided } = {}) {
    const slot = this.#free.pop() ?? this.#watchers.size;
    /** @type {Watcher} */
    const watcher = {
      callback, onUndecided, isUndecided: false, isKnown: false, slot, token,
      expiresAt: expiryOf(token), timer: undefined,
    };
    this.#watchers.add(watcher);
    this.#wake(watcher);
    return () => this.#remove(watcher);
  }

  /** Judges all of them. */
  look() {
    // Those that are added in the meantime are checked next time.
    for (const watcher of [...this.#watchers]) this.#lookAt(watcher);
  }

  clear() {
    for (const { timer } of this.#watchers) clearTimeout(timer);
    this.#watchers.clear();
    this.#free = [];
  }

  /** A token that is undecided now is judged again later. @param {Watcher} watcher */
  #lookAt(watcher) {
    if (!this.#watchers.has(watcher)) return;
    const verdict = this.#review(watcher);
    if (verdict === undefined) watcher.isKnown = true;
    if (verdict?.outcome === "refused") {
      this.#remove(watcher);
      void unharmed(() => watcher.callback(verdict));
      return;
    }
    const wasUndecided = watcher.isUndecided;
    watcher.isUndecided = verdict?.outcome === "undecided";
    if (watcher.isUndecided && !wasUndecided) void unharmed(() => watcher.onUndecided?.(verdict));
  }

  /** Checks it again when something may have changed without any news. @param {Watcher} watcher */
  #wake(watcher) {
    const left = Math.min(watcher.expiresAt - this.#clock(), this.#secondsUntilStale());
    const seconds = Math.min(Math.max(left, SHORTEST_SECONDS), LONGEST_SECONDS);
    watcher.timer = setTimeout(() => {
      this.#lookAt(watcher);
      if (this.#watchers.has(watcher)) this.#wake(watcher);
    }, seconds * 1000);
    // The timer does not keep the process alive.
    /** @type {any} */ (watcher.timer).unref?.();
  }

  /** @param {Watcher} watcher */
  #remove(watcher) {
    clearTimeout(watcher.timer);
    if (this.#watchers.delete(watcher)) this.#free.push(watcher.slot);
  }
}

/** The expiry in a token. It is not verified: it decides when to check again, and nothing else. @param {string} token */
function expiryOf(token) {
  const exp = unverified(token, 1)?.exp;
  return typeof exp === "number" ? exp : Infinity;
}

/** Within the leeway an expired token is still valid: it is checked each second. */
const SHORTEST_SECONDS = 1;
const LONGEST_SECONDS = 10;
