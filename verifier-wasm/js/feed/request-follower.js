// Follows the feed by requests: in runtimes where only the platform's waitUntil outlives a request, and in
// programs that create their verifier without `createVerifier`.
//
// Requests of one isolate share values (times), never promises: a promise that waits for another
// request's I/O can hang for ever once that request is gone.

export class RequestFollower {
  #internals;
  #outlives;
  /** Until when one request is following the feed, milliseconds. */
  #leaseUntil = 0;
  /** Until when requests will go on following the feed, milliseconds. */
  #until = 0;
  /** True if a token has shown that there is news. */
  #isNews = false;

  /**
   * @param {import("./internals.js").Internals} internals of the verifier
   * @param {boolean} [outlives] true if work may continue after the answer without waitUntil
   */
  constructor(internals, outlives = false) {
    this.#internals = internals;
    this.#outlives = outlives;
    internals.feed.following = "requests";
    internals.onBehind(() => {
      this.#isNews = true;
    });
  }

  /**
   * Follows the feed after the answer, if no other request does and a poll is due; if another one does, this
   * request may go on where that one must end. Without `waitUntil`, in a runtime that ends everything with the
   * answer, there is only time for one poll, and the request has to wait for the returned promise.
   *
   * @param {(work: Promise<unknown>) => void} [waitUntil]
   * @returns {Promise<unknown> | undefined}
   */
  later(waitUntil) {
    const { secondsSinceRound, settings, waitSeconds } = this.#internals.feed;
    const mayWait = this.#outlives || waitUntil !== undefined;
    const isDue = this.#isNews || (mayWait && waitSeconds >= 1) || secondsSinceRound >= settings.pollSeconds;
    const now = Date.now();
    const left = this.#leaseUntil - now;
    // A lease longer than the longest possible one comes from a clock that was set back.
    const isFollowed = left > 0 && left <= FOLLOW_MS + POLL_MS;
    if (!isDue) return undefined;
    const until = mayWait ? now + FOLLOW_MS : now;
    if (isFollowed) {
      if (waitSeconds >= 1) this.#goOn(until, waitUntil);
      return undefined;
    }
    this.#until = until;
    const work = this.#follow(until, waitUntil ?? (this.#outlives ? ignore : undefined));
    if (!mayWait) return work;
    if (waitUntil !== undefined) waitUntil(work);
    else ignore(work);
    return undefined;
  }

  /**
   * Has the feed followed longer than by the requests so far. A few requests do this, not all: each adds some seconds.
   *
   * @param {number} until @param {(work: Promise<unknown>) => void} [waitUntil]
   */
  #goOn(until, waitUntil) {
    if (until - this.#until < HAND_OVER_MS) return;
    const pause = this.#until - Date.now();
    this.#until = until;
    // Work that outlives its request reads the new time itself.
    if (this.#outlives || waitUntil === undefined) return;
    waitUntil(new Promise((resume) => setTimeout(resume, pause)).then(() => this.#follow(until, waitUntil)));
  }

  /**
   * One poll, or long polls while the platform lets the request live. The lease is a time, renewed for each
   * poll: once it has expired, a request that was cut off delays no other.
   *
   * @param {number} mayLast @param {(work: Promise<unknown>) => void} [waitUntil] for work that may take longer than a poll
   */
  async #follow(mayLast, waitUntil) {
    for (;;) {
      this.#isNews = false;
      const began = Date.now();
      const until = this.#outlives ? this.#until : mayLast;
      const waitSeconds = Math.min(this.#internals.feed.waitSeconds, (until - began) / 1000);
      if (waitSeconds < 1 && until < this.#until) return; // another request goes on
      const lease = began + waitSeconds * 1000 + POLL_MS;
      this.#leaseUntil = lease;
      const result = await this.#internals.refresh({ waitSeconds, timeoutSeconds: POLL_MS / 1000, waitUntil });
      if (this.#leaseUntil !== lease) return; // it expired, and another request took over
      this.#leaseUntil = 0;
      if (waitSeconds < 1 || !("applied" in result)) return;
      // A feed that never holds a long poll back is polled with pauses.
      const pause = MIN_ROUND_MS - (Date.now() - began);
      if (pause > 0) {
        this.#leaseUntil = Date.now() + POLL_MS;
        await new Promise((resume) => setTimeout(resume, pause));
      }
    }
  }
}

/** The work continues without a caller that waits for it. @param {Promise<unknown>} work */
const ignore = (work) => void work.catch(() => {});

/** The time limit of one poll. */
const POLL_MS = 5_000;
/** The shortest time between two polls. */
const MIN_ROUND_MS = 100;
/** A Worker may run for 30 s after its answer. */
const FOLLOW_MS = 25_000;
/** How much longer a request follows the feed than those before it, at least. */
const HAND_OVER_MS = 5_000;
