// Tokens whose holders are still connected, each with what to do when it is not good any more.

import { unharmed } from "./instance.js";

/**
 * @typedef {import("./index.d.ts").Verdict} Verdict
 *
 * @typedef {object} Watcher
 * @property {(verdict: Verdict) => void} callback
 * @property {boolean} isKnown since the token was found good in its slot
 * @property {number} slot
 * @property {string} token
 */

export class Watchers {
  #review;
  /** @type {Set<Watcher>} */
  #watchers = new Set();
  /** Slots of watchers that are gone. @type {number[]} */
  #free = [];

  /** @param {(watcher: Watcher) => Verdict | undefined} review the verdict, or nothing on what is good */
  constructor(review) {
    this.#review = review;
  }

  get size() {
    return this.#watchers.size;
  }

  /**
   * Calls back once the token is refused; answers with what stops that.
   *
   * @param {string} token @param {(verdict: Verdict) => void} callback
   */
  add(token, callback) {
    const slot = this.#free.pop() ?? this.#watchers.size;
    const watcher = { callback, isKnown: false, slot, token };
    this.#watchers.add(watcher);
    return () => this.#remove(watcher);
  }

  /** Judges all of them. What cannot be decided now is judged again later. */
  look() {
    // Those that are added meanwhile have their turn at the next look.
    for (const watcher of [...this.#watchers]) {
      if (!this.#watchers.has(watcher)) continue;
      const verdict = this.#review(watcher);
      if (verdict === undefined) watcher.isKnown = true;
      if (verdict?.outcome !== "refused") continue;
      this.#remove(watcher);
      void unharmed(() => watcher.callback(verdict));
    }
  }

  clear() {
    this.#watchers.clear();
    this.#free = [];
  }

  /** @param {Watcher} watcher */
  #remove(watcher) {
    if (this.#watchers.delete(watcher)) this.#free.push(watcher.slot);
  }
}
