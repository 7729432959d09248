// The feed client: requests what follows the held position, at one of several addresses, and passes it to the
// verifier. The last good state stays in force after any bad answer.
// stream-follower.js adds streams to it, in runtimes in which a stream outlives a request.

import { FetchError, boundedExchange } from "./bounded-fetch.js";
import { Source } from "./source.js";
import { TrapError } from "../engine/instance.js";

/**
 * @typedef {object} FeedTarget What the client feeds.
 * @property {() => string | undefined} since the position held, undefined where a base is wanted
 * @property {() => number | null} age of what is held, seconds
 * @property {(bytes: Uint8Array) => import("../index.d.ts").ApplyResult} apply
 * @property {() => boolean} [isBehind] whether that snapshot ends before what is held
 * @property {() => number} [issuedAt] when the last snapshot was signed that was applied
 * @property {() => import("./bounded-fetch.js").Inspector} [inspect] looks at a body while it arrives
 * @property {(head: Uint8Array) => void} [preview] throws a FetchError if no snapshot begins like that
 * @property {(event: import("../index.d.ts").VerifierEvent) => void} [report]
 *
 * @typedef {object} FeedSettings
 * @property {string[]} urls
 * @property {string} id of the feed
 * @property {unknown[]} heads of each address: what the options have as its head, undefined if it has no head
 * @property {() => Promise<typeof import("./head.js")>} loadHeads loads what reads heads
 * @property {(string | undefined)[]} apiKeys of each address
 * @property {number} maxBytes
 * @property {number} maxStalenessSeconds
 * @property {"allow" | "deny"} [onStale]
 * @property {string} [name] under which operators see this follower
 * @property {number} timeoutSeconds
 * @property {"long-poll" | "poll" | "stream"} follow
 * @property {number} pollSeconds
 * @property {number} longPollSeconds
 *
 * @typedef {import("../index.d.ts").RoundResult} RoundResult
 * @typedef {import("../index.d.ts").RequestOptions} RequestOptions
 * @typedef {RequestOptions & { timeoutSeconds: number }} Bounds
 */

export class FeedClient {
  #clock;
  /** The first one is tried first: it was the last one that worked. @type {Source[]} */
  #sources;
  /** Since when an address serves less than the verifier holds, unix seconds. @type {number | null} */
  #behindSince = null;
  #failures = 0;
  #rounds = 0;
  /** How the feed is followed, once it is. @type {"long-poll" | "poll" | "requests" | "stream" | null} */
  following = null;
  /** The follower of its streams. @type {import("./stream-follower.js").StreamFollower | undefined} */
  streams;
  /** @type {import("../index.d.ts").FeedStatus["lastFailure"]} */
  lastFailure = null;
  /** When the last round succeeded, unix seconds. */
  lastRoundAt = -Infinity;
  /** By how much our clock seems to be ahead of the results of polls, seconds. */
  pollDelay = 0;

  /** @param {FeedSettings} settings @param {FeedTarget} target @param {() => number} clock */
  constructor(settings, target, clock) {
    this.settings = settings;
    this.target = target;
    this.#clock = clock;
    /** @type {string | undefined} */
    let introduction;
    // Later than now: a Worker has no random numbers before its first request.
    const introduce = () => (introduction ??= introductionOf(settings));
    this.#sources = settings.urls.map((url, at) => new Source(url, settings.apiKeys[at], introduce, settings.heads[at]));
  }

  /**
   * One round: one snapshot, or two if a delta does not fit and the base is needed. Each address is tried once,
   * the last working one first. Failures are returned, not thrown.
   *
   * Each caller waits for its own fetch: in a Worker a request must not wait for another one's.
   *
   * @param {RequestOptions & { snapshot?: Uint8Array, waitSeconds?: number }} [options] with `snapshot`, a feed file is
   *   read in place of the addresses
   * @returns {Promise<RoundResult>}
   */
  async round({ snapshot, waitSeconds = 0, signal, timeoutSeconds = this.settings.timeoutSeconds } = {}) {
    /** @type {RoundResult} */
    let result = { skipped: true };
    const limits = { signal, timeoutSeconds };
    if (snapshot) {
      const file = new Source("file", undefined, String, snapshot);
      return this.attempt(file, file.polls, () => this.#round(file, 0, limits));
    }
    for (let tries = 0; tries < this.#sources.length; tries += 1) {
      const source = this.#source();
      const now = this.#clock();
      if (!source.polls.isWaiting(now)) {
        source.polls.begin(now, timeoutSeconds);
        result = await this.attempt(source, source.polls, () => this.#round(source, waitSeconds, limits));
        if (!("error" in result)) break;
      }
      this.next(source);
      if (signal?.aborted) break;
    }
    return result;
  }

  /**
   * How long a long poll may be held back now, seconds; less than one for a plain poll. The held state must not
   * get too old during the wait. After a failure a plain poll shows soonest whether the feed is back.
   */
  get waitSeconds() {
    const { follow, longPollSeconds } = this.settings;
    const { head, holdSeconds, polls } = this.#source();
    if (follow !== "long-poll" || head !== undefined || polls.isFailing) return 0;
    return Math.min(longPollSeconds, holdSeconds, this.secondsLeft / 3);
  }

  /** The longest pause after a failure, seconds: the held state must not get too old in the meantime. */
  get retrySeconds() {
    if (!this.isOld) return Infinity;
    const now = this.#clock();
    return Math.min(...this.#sources.map(({ polls }) => polls.secondsLeft(now)));
  }

  /** The address whose stream to follow, or undefined during the pauses of all. */
  get freeForStream() {
    const now = this.#clock();
    return this.#sources.find(({ head, streams }) => head === undefined && !streams.isWaiting(now));
  }

  /** Seconds since the feed was last followed successfully. */
  get secondsSinceRound() {
    return Math.abs(this.#clock() - this.lastRoundAt);
  }

  /** Seconds since the last applied snapshot was signed. */
  get secondsSinceIssued() {
    const { issuedAt } = this.target;
    return issuedAt && this.#clock() - issuedAt();
  }

  /** @returns {import("../index.d.ts").FeedStatus} */
  status() {
    return {
      url: this.#source().url,
      lastRoundAt: Number.isFinite(this.lastRoundAt) ? this.lastRoundAt : null,
      rounds: this.#rounds,
      failures: this.#failures,
      lastFailure: this.lastFailure,
      behindSince: this.#behindSince,
      streamLatenessSeconds: this.streams?.latenessSeconds ?? null,
    };
  }

  #source() {
    return this.#sources[0];
  }

  /** Seconds until the held state is too old for verdicts; 0 without one. */
  get secondsLeft() {
    const { maxStalenessSeconds } = this.settings;
    const age = this.target.age();
    return age === null ? 0 : Math.max(0, maxStalenessSeconds - age);
  }

  /** True once the held state has half of the allowed age, or if there is none. */
  get isOld() {
    return this.secondsLeft < this.settings.maxStalenessSeconds / 2;
  }

  /** Tries the other addresses before this one. @param {Source} source */
  next(source) {
    const others = this.#sources.filter((one) => one !== source);
    if (others.length < this.#sources.length) this.#sources = [...others, source];
  }

  /**
   * @param {Source} source @param {import("./backoff.js").Backoff} backoff of this attempt
   * @param {() => Promise<RoundResult>} work
   * @returns {Promise<RoundResult>}
   */
  async attempt(source, backoff, work) {
    let failure;
    /** @type {RoundResult} */
    let result;
    try {
      result = await work();
    } catch (error) {
      if (!(error instanceof FetchError || error instanceof TrapError)) throw error;
      failure = /** @type {FetchError} */ (error);
      const code = error instanceof TrapError ? "verifier_failed" : failure.code ?? UNREACHABLE;
      result = { error: code, detail: error.message + (HINTS[failure.status ?? 0] ?? "") };
    }
    const now = this.#clock();
    if ("error" in result) {
      const { error, detail } = result;
      this.#failures += 1;
      this.lastFailure = { at: now, url: source.url, error, detail };
      // The held state must not get too old during a pause for a control plane that is already back. One that
      // returns invalid data is not polled more often for that.
      const isSpared = error !== UNREACHABLE || backoff !== source.polls;
      const longest = isSpared ? undefined : Math.max(1, this.secondsLeft / 3);
      backoff.failed(now, failure?.retryAfterSeconds, longest);
    } else {
      this.succeeded(backoff);
      // An address that keeps returning old data is not followed for ever.
      if (this.isOld || this.#behindSince !== null) this.next(source);
    }
    return result;
  }

  /** @param {import("./backoff.js").Backoff} backoff */
  succeeded(backoff) {
    this.#rounds += 1;
    backoff.succeeded();
    this.lastRoundAt = this.#clock();
  }

  /** @param {Source} source @param {number} waitSeconds @param {Bounds} limits @returns {Promise<RoundResult>} */
  async #round(source, waitSeconds, limits) {
    if (source.head !== undefined) {
      const { readHead } = await this.settings.loadHeads().catch((cause) => {
        throw new FetchError(String(cause));
      });
      return readHead(this, source, limits, { FetchError, boundedExchange });
    }
    const since = this.target.since();
    const result = waitSeconds >= 1 && since !== undefined
      ? await this.#longPoll(source, since, waitSeconds, limits)
      : await this.#fetch(source, since, 0, limits);
    const wantsBase = "error" in result && "needsBase" in result && result.needsBase;
    return wantsBase && since !== undefined ? this.#fetch(source, undefined, 0, limits) : result;
  }

  /**
   * A proxy on the way may hold a long poll back and cut it off: a plain poll follows within a second, and the
   * next long poll is shorter.
   *
   * @param {Source} source @param {string} since @param {number} waitSeconds @param {Bounds} limits
   */
  async #longPoll(source, since, waitSeconds, limits) {
    const began = performance.now();
    const held = () => (performance.now() - began) / 1000;
    const patience = Math.min(limits.timeoutSeconds, Math.max(5, this.secondsLeft / 3));
    try {
      const bounds = { ...limits, timeoutSeconds: waitSeconds + patience };
      const result = await this.#fetch(source, since, waitSeconds, bounds);
      source.learn(held(), false);
      return result;
    } catch (error) {
      const isCut = error instanceof FetchError && !error.retryAfterSeconds && held() >= 1;
      if (!isCut || limits.signal?.aborted) throw error;
      source.learn(held(), true);
      // A server that went down has disconnected all clients in the same moment.
      const mostSeconds = Math.min(1, this.settings.pollSeconds);
      await new Promise((resume) => setTimeout(resume, Math.random() * mostSeconds * 1000));
      return this.#fetch(source, since, 0, limits);
    }
  }

  /**
   * @param {Source} source @param {string | undefined} since @param {number} waitSeconds
   * @param {Bounds} limits
   * @returns {Promise<RoundResult>}
   */
  async #fetch(source, since, waitSeconds, limits) {
    const href = source.address("", since, waitSeconds);
    const seen = source.seen?.href === href ? source.seen.etag : undefined;
    const { status, bytes, etag } = await boundedExchange(href, {
      ...this.limits(source, seen && { "if-none-match": seen }),
      ...limits,
      inspect: this.target.inspect,
      statuses: seen ? [200, 304] : [200],
    });
    // No signature covers this response, so it proves no freshness.
    if (status === 304) return { applied: "ignored" };
    const result = this.take(bytes, source, since);
    source.seen = "applied" in result && etag ? { href, etag } : undefined;
    if ("applied" in result) this.pollDelay = this.secondsSinceIssued ?? this.pollDelay;
    return result;
  }

  /**
   * Applies the snapshot of a request with `since`. If it does not reach that position, the server's log has
   * lost records, or a cache is behind: the held state stays, and this is reported.
   *
   * @param {Uint8Array} bytes @param {Source} source @param {string | undefined} since
   */
  take(bytes, source, since) {
    const result = this.target.apply(bytes);
    if (!("applied" in result)) return result;
    const isBehind = result.applied === "ignored" && since !== undefined
      && since === this.target.since() && this.target.isBehind?.() === true;
    if (isBehind && this.#behindSince === null) {
      const detail = `asked for what comes after ${since}, the feed answered with less: its log may have lost records`;
      this.target.report?.({ type: "failure", error: "feed_behind", detail });
      this.lastFailure = { at: this.#clock(), url: source.url, error: "feed_behind", detail };
    }
    this.#behindSince = isBehind ? this.#behindSince ?? this.#clock() : null;
    return result;
  }

  /** @param {Source} source @param {Record<string, string> | "" | undefined} headers */
  limits(source, headers) {
    return {
      accept: SNAPSHOT_TYPE,
      contentTypes: [SNAPSHOT_TYPE],
      headers: source.headers(headers),
      maxBytes: this.settings.maxBytes,
    };
  }
}

/**
 * What the control plane knows of this follower. The id is a secret between both: it counts what its holder says.
 *
 * @param {FeedSettings} settings
 */
function introductionOf({ maxStalenessSeconds, name, onStale }) {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const id = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${id};software=js/${VERSION}${onStale === "allow" ? "" : `;staleness=${maxStalenessSeconds}`}${name ? `;name=${name}` : ""}`;
}

/** Of the package. */
const VERSION = "0.1.0";
const SNAPSHOT_TYPE = "application/octet-stream";
const UNREACHABLE = "feed_unreachable";
/** What to check first. @type {Record<number, string | undefined>} */
const HINTS = {
  401: ": the feed expects an API key with the scope feed:read (option feed.apiKey)",
  403: ": the API key of the feed needs the scope feed:read (option feed.apiKey)",
  404: ": there is no feed at this address (option feed.url, usually ending in /v1/feed)",
};
