// Follows the feed where nothing outlives a request but what the platform's waitUntil lets live.
//
// Requests of one isolate share values (times), never promises: a promise that waits for another
// request's I/O can hang for ever once that request is gone.

export class RequestFollower {
  #verifier;
  /** Until when one request is following the feed, milliseconds. */
  #leaseUntil = 0;
  /** True where a token has shown that there is news. */
  #isNews = false;

  /** @param {import("./verifier.js").Verifier} verifier */
  constructor(verifier) {
    this.#verifier = verifier;
    verifier.following = "requests";
    verifier.onBehind(() => {
      this.#isNews = true;
    });
  }

  /**
   * Follows the feed after the answer, where no other request does and a poll is due.
   *
   * @param {(work: Promise<unknown>) => void} waitUntil
   */
  later(waitUntil) {
    const { feedSettings, secondsSinceRound } = this.#verifier;
    const isDue = this.#isNews || this.#isLongPolling || secondsSinceRound >= feedSettings.pollSeconds;
    const now = Date.now();
    const left = this.#leaseUntil - now;
    // One that is longer than any was is of a clock that has been set back.
    if (isDue && (left <= 0 || left > FOLLOW_MS + POLL_MS)) waitUntil(this.#follow(now + FOLLOW_MS));
  }

  get #isLongPolling() {
    return this.#verifier.feedSettings.follow === "long-poll";
  }

  /**
   * One poll, or long polls for as long as the platform lets a request live on. The lease is a time,
   * renewed for each poll: a request that is cut off holds nobody up once it has run out.
   *
   * @param {number} until
   */
  async #follow(until) {
    for (;;) {
      this.#isNews = false;
      const began = Date.now();
      const most = this.#isLongPolling ? this.#verifier.feedSettings.longPollSeconds : 0;
      const waitSeconds = Math.min(most, (until - began) / 1000);
      const lease = began + waitSeconds * 1000 + POLL_MS;
      this.#leaseUntil = lease;
      const result = await this.#verifier.refresh({ waitSeconds, timeoutSeconds: POLL_MS / 1000 });
      if (this.#leaseUntil !== lease) return; // it ran out, and another request took over
      this.#leaseUntil = 0;
      if (waitSeconds < 1 || !("applied" in result)) return;
      // A feed that answers at once however long it may wait is not asked without a pause.
      const pause = MIN_ROUND_MS - (Date.now() - began);
      if (pause > 0) {
        this.#leaseUntil = Date.now() + POLL_MS;
        await new Promise((resume) => setTimeout(resume, pause));
      }
    }
  }
}

/** How long one poll may take. */
const POLL_MS = 5_000;
/** The least time between two polls. */
const MIN_ROUND_MS = 100;
/** A Worker lives on for 30 s after its answer. */
const FOLLOW_MS = 25_000;
