// The feed client: asks for what came after the position held, at one of several addresses, and
// hands it to the verifier. Whatever an address answers, the last good state stays in force.

import { Backoff } from "./backoff.js";
import { FetchError, boundedExchange } from "./bounded-fetch.js";
import { TrapError } from "./instance.js";

/**
 * @typedef {object} FeedTarget What the client feeds.
 * @property {() => string | undefined} since the position held, undefined where a base is wanted
 * @property {() => { age_seconds: number | null }} status how old what is held is
 * @property {(bytes: Uint8Array) => import("./index.d.ts").ApplyResult} apply
 *
 * @typedef {object} FeedSettings
 * @property {string[]} urls
 * @property {string} [apiKey]
 * @property {number} maxBytes
 * @property {number} maxStalenessSeconds
 * @property {number} timeoutSeconds
 * @property {"long-poll" | "poll" | "stream"} follow
 * @property {number} pollSeconds
 * @property {number} longPollSeconds
 *
 * @typedef {object} Source One address of the feed.
 * @property {string} url
 * @property {Backoff} polls
 * @property {Backoff} streams which may not get through where polls do
 * @property {{ href: string, etag: string } | undefined} seen what a request brought last
 *
 * @typedef {typeof import("./feed-stream.js").followEvents} Follower
 * @typedef {import("./index.d.ts").RoundResult} RoundResult
 * @typedef {import("./index.d.ts").RequestOptions} RequestOptions
 * @typedef {RequestOptions & { timeoutSeconds: number }} Bounds
 */

export class FeedClient {
  #clock;
  #settings;
  #target;
  /** The one that is asked first was good last. @type {Source[]} */
  #sources;
  /** @type {import("./index.d.ts").FeedStatus["last_failure"]} */
  #lastFailure = null;
  #failures = 0;
  #rounds = 0;
  /** When the last round ended well, unix seconds. */
  lastRoundAt = -Infinity;

  /** @param {FeedSettings} settings @param {FeedTarget} target @param {() => number} clock */
  constructor(settings, target, clock) {
    this.#settings = settings;
    this.#target = target;
    this.#clock = clock;
    this.#sources = settings.urls.map((url) =>
      ({ url, polls: new Backoff(), streams: new Backoff(), seen: undefined }));
  }

  /**
   * One round: one snapshot, or two where a delta does not fit and the base is needed. Each address
   * is tried once, the one that was good last before the others. Failures are answered, not thrown.
   *
   * Each caller waits for a fetch of its own: a Worker must not wait for another request's.
   *
   * @param {RequestOptions & { waitSeconds?: number }} [options]
   * @returns {Promise<RoundResult>}
   */
  async round({ waitSeconds = 0, signal, timeoutSeconds = this.#settings.timeoutSeconds } = {}) {
    /** @type {RoundResult} */
    let result = { skipped: true };
    const limits = { signal, timeoutSeconds: timeoutSeconds + waitSeconds };
    for (let tries = 0; tries < this.#sources.length; tries += 1) {
      const source = this.#source();
      const now = this.#clock();
      if (!source.polls.isWaiting(now)) {
        source.polls.begin(now, timeoutSeconds);
        const poll = () => this.#round(source, waitSeconds, limits);
        result = await this.#try(source, source.polls, poll);
        if (!("error" in result)) break;
      }
      this.#next();
      if (signal?.aborted) break;
    }
    return result;
  }

  /**
   * Follows the stream of one address until it ends, fails or falls behind.
   *
   * @param {Follower} events reads a stream; handed in, since not every runtime has a use for it
   * @param {AbortSignal} signal @param {() => void} onEvent runs after each snapshot
   * @returns {Promise<RoundResult>}
   */
  async stream(events, signal, onEvent) {
    const source = this.#source();
    /** @type {RoundResult} */
    let result = { skipped: true };
    if (!source.streams.isWaiting(this.#clock())) {
      const stream = () => this.#stream(source, events, signal, onEvent);
      result = await this.#try(source, source.streams, stream);
    }
    // The end of a stream is no failure of who sent it, but the others are there too.
    this.#next();
    return result;
  }

  /** @returns {import("./index.d.ts").FeedStatus} */
  status() {
    return {
      url: this.#source().url,
      last_round_at: Number.isFinite(this.lastRoundAt) ? this.lastRoundAt : null,
      rounds: this.#rounds,
      failures: this.#failures,
      last_failure: this.#lastFailure,
    };
  }

  #source() {
    return this.#sources[0];
  }

  /** True once what is held is half as old as it may be. */
  get #isOld() {
    return (this.#target.status().age_seconds ?? 0) > this.#settings.maxStalenessSeconds / 2;
  }

  #next() {
    this.#sources.push(/** @type {Source} */ (this.#sources.shift()));
  }

  /**
   * @param {Source} source @param {Backoff} backoff of what is tried
   * @param {() => Promise<RoundResult>} work
   * @returns {Promise<RoundResult>}
   */
  async #try(source, backoff, work) {
    let retryAfterSeconds;
    /** @type {RoundResult} */
    let result;
    try {
      result = await work();
    } catch (error) {
      if (!(error instanceof FetchError || error instanceof TrapError)) throw error;
      ({ retryAfterSeconds } = /** @type {FetchError} */ (error));
      const code = error instanceof TrapError ? "verifier_failed" : "feed_unreachable";
      result = { error: code, detail: error.message };
    }
    const now = this.#clock();
    if ("error" in result) {
      const { error, detail } = result;
      this.#failures += 1;
      this.#lastFailure = { at: now, url: source.url, error, detail };
      backoff.failed(now, retryAfterSeconds);
    } else {
      this.#succeeded(backoff);
      // An address that keeps showing what is old already is not to be followed for ever.
      if (this.#isOld) this.#next();
    }
    return result;
  }

  /** @param {Backoff} backoff */
  #succeeded(backoff) {
    this.#rounds += 1;
    backoff.succeeded();
    this.lastRoundAt = this.#clock();
  }

  /** @param {Source} source @param {number} waitSeconds @param {Bounds} limits @returns {Promise<RoundResult>} */
  async #round(source, waitSeconds, limits) {
    const since = this.#target.since();
    const result = await this.#fetch(source, since, waitSeconds, limits);
    const wantsBase = "error" in result && "needsBase" in result && result.needsBase;
    return wantsBase && since !== undefined ? this.#fetch(source, undefined, 0, limits) : result;
  }

  /**
   * @param {Source} source @param {string | undefined} since @param {number} waitSeconds
   * @param {Bounds} limits
   * @returns {Promise<RoundResult>}
   */
  async #fetch(source, since, waitSeconds, limits) {
    const { href } = this.#address(source, "", since, waitSeconds);
    const seen = source.seen?.href === href ? source.seen.etag : undefined;
    const { status, bytes, etag } = await boundedExchange(href, {
      ...this.#limits(seen && { "if-none-match": seen }),
      ...limits,
      statuses: seen ? [200, 304] : [200],
    });
    // Nobody has signed that there is nothing new: it proves nothing, and costs nothing.
    if (status === 304) return { applied: "ignored" };
    const result = this.#target.apply(bytes);
    source.seen = "applied" in result && etag ? { href, etag } : undefined;
    return result;
  }

  /**
   * @param {Source} source @param {Follower} events @param {AbortSignal} signal
   * @param {() => void} onEvent
   * @returns {Promise<RoundResult>}
   */
  async #stream(source, events, signal, onEvent) {
    const since = this.#target.since();
    const limits = {
      ...this.#limits(since && { "last-event-id": since }),
      signal,
      timeoutSeconds: Math.min(this.#settings.timeoutSeconds, this.#settings.maxStalenessSeconds),
    };
    /** @type {RoundResult} */
    let last = { skipped: true };
    for await (const bytes of events(this.#address(source, "/stream").href, limits)) {
      last = this.#target.apply(bytes);
      if ("error" in last) return last;
      this.#succeeded(source.streams);
      onEvent();
      // So many deltas have come that a base is wanted: a poll brings it.
      if ("applied" in last && last.applied === "extended" && this.#target.since() === undefined) break;
      if (this.#isOld) return { error: "feed_stale", detail: "the stream shows what is old already" };
    }
    return last;
  }

  /** @param {Source} source @param {string} path @param {string} [since] @param {number} [waitSeconds] */
  #address({ url }, path, since, waitSeconds = 0) {
    const address = new URL(url);
    address.pathname += path;
    if (since !== undefined) address.searchParams.set("since", since);
    if (since !== undefined && waitSeconds >= 1) {
      address.searchParams.set("wait", String(Math.floor(waitSeconds)));
    }
    return address;
  }

  /** @param {Record<string, string> | "" | undefined} headers */
  #limits(headers) {
    const { apiKey, maxBytes } = this.#settings;
    return {
      accept: SNAPSHOT_TYPE,
      contentTypes: [SNAPSHOT_TYPE],
      headers: { ...(apiKey && { authorization: `Bearer ${apiKey}` }), ...headers },
      maxBytes,
    };
  }
}

const SNAPSHOT_TYPE = "application/octet-stream";
