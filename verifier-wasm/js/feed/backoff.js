// When to retry after a failure: exponential, with jitter, and never sooner than the server asks for.

export class Backoff {
  #failures = 0;
  /** When the pause began, and when it ends: a clock that was set back to before it ends it too. */
  #from = 0;
  #notBefore = 0;

  /** True during a pause. @param {number} now unix seconds */
  isWaiting(now) {
    return now >= this.#from && now < this.#notBefore;
  }

  /**
   * Marks a try after a failure, so that no other request tries within `seconds`. It is a time, not a
   * promise: a request that is aborted half-way cannot hold anyone up for longer.
   *
   * @param {number} now @param {number} seconds
   */
  begin(now, seconds) {
    if (this.#failures > 0) this.#pause(now, seconds);
  }

  /** How long the pause still lasts. @param {number} now unix seconds */
  secondsLeft(now) {
    return this.isWaiting(now) ? this.#notBefore - now : 0;
  }

  /** True from a failure to the next success. */
  get isFailing() {
    return this.#failures > 0;
  }

  succeeded() {
    this.#failures = 0;
    this.#notBefore = 0;
  }

  /**
   * @param {number} now @param {number} [retryAfterSeconds]
   * @param {number} [longestSeconds] if a longer pause would do more harm than good
   */
  failed(now, retryAfterSeconds = 0, longestSeconds = LONGEST_SECONDS) {
    const most = Math.min(FIRST_SECONDS * 2 ** this.#failures, LONGEST_SECONDS, longestSeconds);
    this.#failures += 1;
    const jittered = most * (0.5 + Math.random() / 2);
    this.#pause(now, Math.max(jittered, Math.min(retryAfterSeconds, LONGEST_ASKED_SECONDS)));
  }

  /** @param {number} now @param {number} seconds */
  #pause(now, seconds) {
    this.#from = now;
    this.#notBefore = now + seconds;
  }
}

const FIRST_SECONDS = 0.5;
/** A sixth of the default validity of a snapshot: verifiers become undecided that much earlier in an outage
 * (docs/scale.md). */
const LONGEST_SECONDS = 10;
/** The longest pause that a server may ask for. */
const LONGEST_ASKED_SECONDS = 30;
