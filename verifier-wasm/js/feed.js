// The feed client: asks for what came after the position held, and hands it to the verifier.

import { FetchError, boundedFetch } from "./bounded-fetch.js";
import { Backoff } from "./backoff.js";

/**
 * @typedef {object} FeedTarget What the client feeds.
 * @property {() => string | undefined} since the position held, undefined where a base is wanted
 * @property {(bytes: Uint8Array) => import("./verifier.js").ApplyResult} apply
 *
 * @typedef {object} FeedSettings
 * @property {string} url
 * @property {string} [apiKey]
 * @property {number} maxBytes
 * @property {number} timeoutSeconds
 *
 * @typedef {{ applied: string } | { skipped: true } | { error: string, detail: string }} RoundResult
 */

export class FeedClient {
  #backoff = new Backoff();
  #settings;
  #target;
  #clock;
  /** When the last round ended well, unix seconds. */
  lastRoundAt = -Infinity;

  /** @param {FeedSettings} settings @param {FeedTarget} target @param {() => number} clock */
  constructor(settings, target, clock) {
    this.#settings = settings;
    this.#target = target;
    this.#clock = clock;
  }

  /**
   * One round: one snapshot, or two where a delta does not fit and the base is needed. A failure
   * leaves the last good state in force; it is answered, never thrown.
   *
   * Each caller waits for a fetch of its own: a Worker must not wait for another request's.
   *
   * @param {{ waitSeconds?: number, signal?: AbortSignal, timeoutSeconds?: number }} [options]
   * @returns {Promise<RoundResult>}
   */
  async round({ waitSeconds = 0, signal, timeoutSeconds = this.#settings.timeoutSeconds } = {}) {
    const started = this.#clock();
    if (this.#backoff.isWaiting(started)) return { skipped: true };
    this.#backoff.begin(started, timeoutSeconds);
    try {
      const since = this.#target.since();
      const limits = { signal, timeoutSeconds: timeoutSeconds + waitSeconds };
      let result = this.#target.apply(await this.#fetch(since, waitSeconds, limits));
      if ("error" in result && result.needsBase && since !== undefined) {
        result = this.#target.apply(await this.#fetch(undefined, 0, limits));
      }
      if ("error" in result) return this.#failed(result.error, result.detail);
      this.#backoff.succeeded();
      this.lastRoundAt = this.#clock();
      return result;
    } catch (error) {
      if (error instanceof FetchError) {
        return this.#failed("feed_unreachable", error.message, error.retryAfterSeconds);
      }
      return this.#failed("verifier_failed", String(error));
    }
  }

  /** @param {string} error @param {string} detail @param {number} [retryAfterSeconds] */
  #failed(error, detail, retryAfterSeconds) {
    this.#backoff.failed(this.#clock(), retryAfterSeconds);
    return { error, detail };
  }

  /**
   * @param {string | undefined} since @param {number} waitSeconds
   * @param {{ signal?: AbortSignal, timeoutSeconds: number }} limits
   */
  #fetch(since, waitSeconds, limits) {
    const { apiKey, maxBytes } = this.#settings;
    const url = new URL(this.#settings.url);
    if (since !== undefined) url.searchParams.set("since", since);
    if (since !== undefined && waitSeconds > 0) {
      url.searchParams.set("wait", String(Math.floor(waitSeconds)));
    }
    return boundedFetch(url.href, {
      ...limits,
      accept: SNAPSHOT_TYPE,
      contentTypes: [SNAPSHOT_TYPE],
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
      maxBytes,
    });
  }
}

const SNAPSHOT_TYPE = "application/octet-stream";
