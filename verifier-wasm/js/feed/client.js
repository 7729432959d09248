// The feed client: asks for what came after the position held, at one of several addresses, and
// hands it to the verifier. Whatever an address answers, the last good state stays in force.

import { FetchError, boundedExchange } from "./bounded-fetch.js";
import { MAX_HEARTBEAT_SECONDS, Pulse } from "./pulse.js";
import { Source } from "./source.js";
import { TrapError } from "../engine/instance.js";

/**
 * @typedef {object} FeedTarget What the client feeds.
 * @property {() => string | undefined} since the position held, undefined where a base is wanted
 * @property {() => { age_seconds: number | null }} status how old what is held is
 * @property {(bytes: Uint8Array) => import("../index.d.ts").ApplyResult} apply
 * @property {() => boolean} [isBehind] whether that ends before what is held
 * @property {() => number} [issuedAt] when the last snapshot was signed that was applied
 * @property {() => import("./bounded-fetch.js").Inspector} [inspect] looks at a body while it arrives
 * @property {(head: Uint8Array) => void} [preview] throws a FetchError if no snapshot begins like that
 * @property {(event: import("../index.d.ts").VerifierEvent) => void} [tell]
 *
 * @typedef {object} FeedSettings
 * @property {string[]} urls
 * @property {(string | undefined)[]} apiKeys of each address
 * @property {number} maxBytes
 * @property {number} maxStalenessSeconds
 * @property {number} timeoutSeconds
 * @property {"long-poll" | "poll" | "stream"} follow
 * @property {number} pollSeconds
 * @property {number} longPollSeconds
 *
 * @typedef {typeof import("./stream.js").followEvents} Follower
 * @typedef {import("../index.d.ts").RoundResult} RoundResult
 * @typedef {import("../index.d.ts").RequestOptions} RequestOptions
 * @typedef {RequestOptions & { timeoutSeconds: number }} Bounds
 */

export class FeedClient {
  #clock;
  #settings;
  #target;
  /** The one that is asked first was good last. @type {Source[]} */
  #sources;
  #pulse = new Pulse();
  /** True once followers were told that the stream is late. */
  #isLate = false;
  /** Since when an address answers with less than is held, unix seconds. @type {number | null} */
  #behindSince = null;
  /** @type {import("../index.d.ts").FeedStatus["last_failure"]} */
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
    this.#sources = settings.urls.map((url, at) => new Source(url, settings.apiKeys[at]));
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
    const limits = { signal, timeoutSeconds };
    for (let tries = 0; tries < this.#sources.length; tries += 1) {
      const source = this.#source();
      const now = this.#clock();
      if (!source.polls.isWaiting(now)) {
        source.polls.begin(now, timeoutSeconds);
        const poll = () => this.#round(source, waitSeconds, limits);
        result = await this.#try(source, source.polls, poll);
        if (!("error" in result)) break;
      }
      this.#next(source);
      if (signal?.aborted) break;
    }
    return result;
  }

  /**
   * How long a long poll may be held back now, seconds; less than one for a plain poll. It is not the
   * only proof of freshness: what is held must not get too old while it waits. After a failure a plain
   * poll tells soonest how things are.
   */
  get waitSeconds() {
    const { follow, longPollSeconds } = this.#settings;
    const { holdSeconds, polls } = this.#source();
    if (follow !== "long-poll" || polls.isFailing) return 0;
    return Math.min(longPollSeconds, holdSeconds, this.#secondsLeft / 3);
  }

  /** How long a feed that has failed is to be spared, seconds, where that should not be for longer. */
  get retrySeconds() {
    if (!this.#isOld) return Infinity;
    const now = this.#clock();
    return Math.min(...this.#sources.map(({ polls }) => polls.secondsLeft(now)));
  }

  /** How long nothing need be polled, seconds: a stream brings everything in time. */
  get quietSeconds() {
    if (!this.#pulse.isTimely) return 0;
    const { silentSeconds, patienceSeconds } = this.#pulse;
    const untilOld = this.#secondsLeft - (this.#settings.maxStalenessSeconds * 2) / 3;
    return Math.max(0, Math.min(patienceSeconds - silentSeconds, untilOld));
  }

  /** True while a stream brings everything in time. */
  get isStreaming() {
    this.#noticeLateness();
    return this.#pulse.isTimely;
  }

  /**
   * Follows the stream of one address until it ends, fails or falls behind.
   *
   * @param {Follower} events reads a stream; handed in, since not every runtime has a use for it
   * @param {AbortSignal} signal @param {() => void} onEvent runs after each snapshot
   * @returns {Promise<RoundResult>}
   */
  async stream(events, signal, onEvent) {
    const now = this.#clock();
    const isFree = (/** @type {Source} */ one) => !one.streams.isWaiting(now);
    const source = this.#sources.find(isFree) ?? this.#source();
    /** @type {RoundResult} */
    let result = { skipped: true };
    if (isFree(source)) {
      const stream = () => this.#stream(source, events, signal, onEvent);
      result = await this.#try(source, source.streams, stream);
      this.#pulse.closed();
    }
    // The end of a stream is no failure of who sent it, but the others are there too.
    this.#next(source);
    return result;
  }

  /** @returns {import("../index.d.ts").FeedStatus} */
  status() {
    const lateness = this.#pulse.latenessSeconds;
    return {
      url: this.#source().url,
      last_round_at: Number.isFinite(this.lastRoundAt) ? this.lastRoundAt : null,
      rounds: this.#rounds,
      failures: this.#failures,
      last_failure: this.#lastFailure,
      behind_since: this.#behindSince,
      stream_lateness_seconds: lateness && Math.max(lateness, this.#pulse.isLate ? this.#pulse.silentSeconds : 0),
    };
  }

  #source() {
    return this.#sources[0];
  }

  /** Until what is held is too old to decide by, seconds; 0 where nothing is held. */
  get #secondsLeft() {
    const { maxStalenessSeconds } = this.#settings;
    const age = this.#target.status().age_seconds;
    return age === null ? 0 : Math.max(0, maxStalenessSeconds - age);
  }

  /** True once what is held is half as old as it may be, or where nothing is held. */
  get #isOld() {
    return this.#secondsLeft < this.#settings.maxStalenessSeconds / 2;
  }

  /** The others have their turn first. @param {Source} source */
  #next(source) {
    this.#sources = [...this.#sources.filter((one) => one !== source), source];
  }

  /**
   * @param {Source} source @param {import("./backoff.js").Backoff} backoff of what is tried
   * @param {() => Promise<RoundResult>} work
   * @returns {Promise<RoundResult>}
   */
  async #try(source, backoff, work) {
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
      this.#lastFailure = { at: now, url: source.url, error, detail };
      // What is held must not get too old while a control plane is spared that is back already. Who
      // answers with nonsense is not asked more often for that.
      const isSpared = error !== UNREACHABLE || backoff !== source.polls;
      const longest = isSpared ? undefined : Math.max(1, this.#secondsLeft / 3);
      backoff.failed(now, failure?.retryAfterSeconds, longest);
    } else {
      this.#succeeded(backoff);
      // An address that keeps showing what is old already is not to be followed for ever.
      if (this.#isOld || this.#behindSince !== null) this.#next(source);
    }
    return result;
  }

  /** @param {import("./backoff.js").Backoff} backoff */
  #succeeded(backoff) {
    this.#rounds += 1;
    backoff.succeeded();
    this.lastRoundAt = this.#clock();
  }

  /** @param {Source} source @param {number} waitSeconds @param {Bounds} limits @returns {Promise<RoundResult>} */
  async #round(source, waitSeconds, limits) {
    const since = this.#target.since();
    const result = waitSeconds >= 1 && since !== undefined
      ? await this.#longPoll(source, since, waitSeconds, limits)
      : await this.#fetch(source, since, 0, limits);
    const wantsBase = "error" in result && "needsBase" in result && result.needsBase;
    return wantsBase && since !== undefined ? this.#fetch(source, undefined, 0, limits) : result;
  }

  /**
   * What holds a long poll back and then cuts it off may be a proxy on the way: a plain poll follows
   * within a second, and the next long poll is shorter.
   *
   * @param {Source} source @param {string} since @param {number} waitSeconds @param {Bounds} limits
   */
  async #longPoll(source, since, waitSeconds, limits) {
    const began = performance.now();
    const held = () => (performance.now() - began) / 1000;
    const patience = Math.min(limits.timeoutSeconds, Math.max(5, this.#secondsLeft / 3));
    try {
      const bounds = { ...limits, timeoutSeconds: waitSeconds + patience };
      const result = await this.#fetch(source, since, waitSeconds, bounds);
      source.learn(held(), false);
      return result;
    } catch (error) {
      const isCut = error instanceof FetchError && !error.retryAfterSeconds && held() >= 1;
      if (!isCut || limits.signal?.aborted) throw error;
      source.learn(held(), true);
      // A server that went down has cut off everybody in the same moment.
      const mostSeconds = Math.min(1, this.#settings.pollSeconds);
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
      ...this.#limits(source, seen && { "if-none-match": seen }),
      ...limits,
      inspect: this.#target.inspect,
      statuses: seen ? [200, 304] : [200],
    });
    // Nobody has signed that there is nothing new: it proves nothing, and costs nothing.
    if (status === 304) return { applied: "ignored" };
    const result = this.#apply(bytes, source, since);
    source.seen = "applied" in result && etag ? { href, etag } : undefined;
    if ("applied" in result && this.#target.issuedAt) {
      this.#pulse.polled(this.#clock() - this.#target.issuedAt());
    }
    return result;
  }

  /**
   * @param {Source} source @param {Follower} events @param {AbortSignal} signal
   * @param {() => void} onEvent
   * @returns {Promise<RoundResult>}
   */
  async #stream(source, events, signal, onEvent) {
    const since = this.#target.since();
    const { maxStalenessSeconds, timeoutSeconds } = this.#settings;
    const limits = {
      ...this.#limits(source, since && { "last-event-id": since }),
      preview: this.#target.preview,
      signal,
      timeoutSeconds: Math.min(timeoutSeconds, maxStalenessSeconds),
    };
    this.#pulse.opened();
    /** @type {RoundResult} */
    let last = { skipped: true };
    for await (const event of events(source.address("/stream"), limits)) {
      if (!(event instanceof Uint8Array)) {
        // Too large for an event: a poll brings it.
        if (event.event === "fetch") return { applied: "ignored", wantsPoll: true };
        if (event.event === "stream") limits.timeoutSeconds = this.#beats(event.data, limits.timeoutSeconds);
        continue;
      }
      last = this.#apply(event, source, since);
      if ("error" in last) return last;
      this.#succeeded(source.streams);
      this.#pulse.heard(this.#clock() - (this.#target.issuedAt?.() ?? NaN));
      this.#noticeLateness();
      onEvent();
      // So many deltas have come that a base is wanted: a poll brings it.
      if ("applied" in last && last.applied === "extended" && this.#target.since() === undefined) {
        return { ...last, wantsPoll: true };
      }
      if (this.#isOld) return { error: "feed_stale", detail: "the stream shows what is old already" };
    }
    return last;
  }

  /**
   * What the server says about its stream: heartbeats that are far apart are no silence.
   *
   * @param {string} data @param {number} timeoutSeconds so far @returns {number}
   */
  #beats(data, timeoutSeconds) {
    const seconds = Number(/"heartbeat_seconds":\s*(\d{1,4})\b/.exec(data)?.[1]);
    if (!(seconds >= 1 && seconds <= MAX_HEARTBEAT_SECONDS)) return timeoutSeconds;
    this.#pulse.beats(seconds);
    return Math.max(timeoutSeconds, 2 * seconds + 5);
  }

  /** Says so once where a stream is held back on its way; polls bring what it does not. */
  #noticeLateness() {
    const { isLate, isTimely, patienceSeconds } = this.#pulse;
    if (isTimely) this.#isLate = false;
    if (!isLate || this.#isLate) return;
    this.#isLate = true;
    const seconds = Math.round(Math.max(this.#pulse.latenessSeconds ?? 0, this.#pulse.silentSeconds));
    const detail = `the stream's events come ${seconds} s late or not at all (allowed are ${patienceSeconds} s): `
      + "a proxy may buffer or compress it. The feed is polled meanwhile";
    this.#target.tell?.({ type: "failure", error: "stream_late", detail });
  }

  /**
   * Applies a snapshot that was asked for with `since`. One that does not reach that far shows a server
   * whose log has lost records, or a cache that is behind: what is held stays, but not in silence.
   *
   * @param {Uint8Array} bytes @param {Source} source @param {string | undefined} since
   */
  #apply(bytes, source, since) {
    const result = this.#target.apply(bytes);
    if (!("applied" in result)) return result;
    const isBehind = result.applied === "ignored" && since !== undefined
      && since === this.#target.since() && this.#target.isBehind?.() === true;
    if (isBehind && this.#behindSince === null) {
      const detail = `asked for what comes after ${since}, the feed answered with less: its log may have lost records`;
      this.#target.tell?.({ type: "failure", error: "feed_behind", detail });
      this.#lastFailure = { at: this.#clock(), url: source.url, error: "feed_behind", detail };
    }
    this.#behindSince = isBehind ? this.#behindSince ?? this.#clock() : null;
    return result;
  }

  /** @param {Source} source @param {Record<string, string> | "" | undefined} headers */
  #limits(source, headers) {
    return {
      accept: SNAPSHOT_TYPE,
      contentTypes: [SNAPSHOT_TYPE],
      headers: source.headers(headers),
      maxBytes: this.#settings.maxBytes,
    };
  }
}

const SNAPSHOT_TYPE = "application/octet-stream";
const UNREACHABLE = "feed_unreachable";
/** What to look at first. @type {Record<number, string | undefined>} */
const HINTS = {
  401: ": the feed expects an API key with the scope feed:read (option feed.apiKey)",
  403: ": the API key of the feed needs the scope feed:read (option feed.apiKey)",
  404: ": there is no feed at this address (option feed.url, usually ending in /v1/feed)",
};
