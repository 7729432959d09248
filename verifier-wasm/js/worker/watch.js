// Judges the token of a request repeatedly while the request lasts: while the upstream works, while its answer
// is being sent, and while a WebSocket is open.
//
// The timer belongs to the request: in Workers a callback of another request could not touch what it opened. It
// also follows the feed, because no other request may come in the meantime.

/**
 * @typedef {import("../index.d.ts").Verdict} Verdict
 */

export class Watch {
  #over = new AbortController();
  #timer;
  #token;
  #undecidedSince = Infinity;
  #verifier;
  #waitUntil;

  /**
   * @param {import("../verifier/verifier.js").Verifier} verifier @param {string} token that is valid
   * @param {(work: Promise<unknown>) => void} waitUntil the request's own: a poll that is cancelled
   *   with the answer keeps every other request from following the feed until its lease ends
   */
  constructor(verifier, token, waitUntil) {
    this.#verifier = verifier;
    this.#token = token;
    this.#waitUntil = waitUntil;
    this.#timer = setTimeout(() => this.#lookAgain(), LOOK_MS);
  }

  /** Aborted with the verdict once the token is refused, or was undecided for longer than the grace. */
  get signal() {
    return this.#over.signal;
  }

  /** The result of `work`, or undefined if the token ends before it. @template T @param {Promise<T>} work */
  race(work) {
    const { signal } = this;
    return Promise.race([work, new Promise((resume) => signal.addEventListener("abort", () => resume(undefined)))]);
  }

  /** Judges the token now, from memory. @returns {Verdict | undefined} the verdict that ends it */
  look() {
    if (this.signal.aborted) return this.signal.reason;
    const now = performance.now();
    const verdict = this.#verifier.verifySync(this.#token, { dpop: "proved" });
    const isUndecided = verdict.outcome === "undecided";
    this.#undecidedSince = isUndecided ? Math.min(this.#undecidedSince, now) : Infinity;
    if (verdict.outcome !== "refused" && now - this.#undecidedSince < GRACE_MS) return undefined;
    this.stop();
    this.#over.abort(verdict);
    return verdict;
  }

  stop() {
    clearTimeout(this.#timer);
  }

  #lookAgain() {
    this.#verifier.followLater(this.#waitUntil);
    if (this.look() === undefined) this.#timer = setTimeout(() => this.#lookAgain(), LOOK_MS);
  }
}

const LOOK_MS = 1_000;
/** How long an undecided connection stays open. A stale feed was already accepted for the configured time; this
 * avoids reconnects because of a feed that is only a moment late. */
const GRACE_MS = 5_000;
