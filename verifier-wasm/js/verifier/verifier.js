// The verifier as a JavaScript program meets it: one engine that judges, the key sets and the feed
// it lives on, and what others want to know of all that.

import { ANY_AGE, Engine, NO_EVIDENCE } from "../engine/engine.js";
import { FeedClient } from "../feed/client.js";
import { Inspection, previewed } from "../feed/inspection.js";
import { Warnings } from "./warnings.js";
import {
  TrapError, afterError, ensureLoaded, generation, instanceMemory, survive, unharmed,
} from "../engine/instance.js";
import { KeySources } from "../keys/key-sources.js";
import { invalid, readOptions, readPolicy } from "../options.js";
import { Watchers } from "./watchers.js";

/**
 * @typedef {import("../index.d.ts").Verdict} Verdict
 * @typedef {import("../index.d.ts").ApplyResult} ApplyResult
 * @typedef {import("../index.d.ts").RoundResult} RoundResult
 * @typedef {import("../index.d.ts").RequestOptions} RequestOptions
 */

export class Verifier {
  #clock;
  #engine;
  #feed;
  #follower;
  #keeper;
  #keys;
  #settings;
  #warnings;
  #watchers;
  // No AbortController here: in Workers its signal would belong to the request that made it.
  #isClosed = false;
  /** @type {(() => void)[]} */
  #closing = [];
  /** How the feed is followed, once it is. @type {"long-poll" | "poll" | "requests" | "stream" | null} */
  following = null;

  /**
   * Reads the options and does no I/O: until keys and a base arrive, verdicts are undecided.
   *
   * @param {unknown} options
   * @throws {TypeError} naming every problem
   */
  constructor(options) {
    ensureLoaded();
    const settings = readOptions(options);
    this.#settings = settings;
    this.#clock = settings.clock;
    this.#engine = new Engine(
      settings.config, settings.clock, settings.rememberedTokens, settings.keySources.length);
    this.#watchers = new Watchers(({ isKnown, slot, token }) => survive(() => {
      const verdict = this.#engine.review(slot, token, isKnown);
      return verdict && this.#keys.doubted(verdict, token);
    }, () => undefined), this.#clock, () => this.#secondsUntilStale());
    settings.keySources.forEach(({ jwks }, place) => {
      const problem = jwks && this.#engine.setKeys(place, jwks, false).problem;
      if (problem) throw invalid(`issuers[${place}].keys: ${problem}`);
    });
    this.#keys = new KeySources(settings.keySources, this.#clock,
      (place, jwks) => this.#engine.setKeys(place, jwks, true),
      (detail) => this.#tell({ type: "failure", error: "keys_unreachable", detail }));
    this.#warnings = new Warnings(settings.onEvent);
    this.#feed = new FeedClient(settings.feed, {
      apply: (bytes) => this.#take(bytes),
      inspect: () => new Inspection(this.#engine),
      isBehind: () => this.#engine.isBehind(),
      issuedAt: () => this.#engine.issuedAt(),
      preview: (head) => previewed(this.#engine, head),
      since: () => this.since(),
      status: () => this.#evidence(),
      tell: (event) => this.#tell(event),
    }, this.#clock);
    this.#keeper = /** @type {import("../stores/keeper.js").Keeper | undefined} */ (
      settings.store?.keeper(this.#engine, this.#clock, settings.feed.maxBytes,
        (detail) => this.#tell({ type: "failure", error: "store_failed", detail })));
    this.#follower = followerOf(this);
  }

  /**
   * Judges one token now, with nothing but wasm. Answers always: a failure of the verifier itself is
   * undecided.
   *
   * @param {unknown} token @param {import("../index.d.ts").Policy} [policy]
   * @returns {Verdict}
   */
  verifySync(token, policy) {
    if (typeof token !== "string") return this.#refuse(token);
    const staleness = this.#stalenessOf(policy);
    try {
      const known = this.#engine.recall(token, staleness);
      if (known?.outcome === "valid") return known;
      const verdict = known ?? this.#keys.doubted(this.#engine.verifySync(token, staleness), token);
      return this.#explained(verdict);
    } catch (error) {
      return undecided(error);
    }
  }

  /**
   * As `verifySync`, with what is fastest here for the signature. For an unknown key the issuer's
   * keys are fetched again first, at most once per cooldown whatever tokens claim; all tokens of
   * unknown keys wait for the same fetch.
   *
   * @param {unknown} token @param {import("../index.d.ts").Policy & RequestOptions} [options]
   * @returns {Promise<Verdict>}
   */
  async verify(token, options) {
    if (typeof token !== "string") return this.#refuse(token);
    const staleness = this.#stalenessOf(options);
    try {
      const known = this.#engine.recall(token, staleness);
      if (known !== undefined) return this.#explained(known);
      const judge = () => this.#engine.verify(token, staleness);
      const found = judge();
      const verdict = found instanceof Promise ? await found : found;
      if (verdict.code !== "unknown_key") return this.#explained(verdict);
      const newer = await this.#keys.search(token, judge, options);
      return this.#explained(newer ?? this.#keys.doubted(verdict, token, true));
    } catch (error) {
      return undecided(error);
    }
  }

  /**
   * What each check makes of a token by itself, in the order in which a verdict asks them: for people
   * who want to know why. With nothing but wasm.
   *
   * @param {unknown} token
   */
  explain(token) {
    return this.#engine.explain(textOf(token));
  }

  /**
   * Takes one signed snapshot. Never throws for bad bytes: the last good state stays in force.
   *
   * @param {Uint8Array} bytes
   * @returns {ApplyResult}
   */
  apply(bytes) {
    if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
    // A copy: whoever hands bytes in may do anything with them afterwards.
    return this.#take(bytes.slice());
  }

  /** The position to ask the feed for more from; undefined where a base is wanted. */
  since() {
    return this.#engine.since();
  }

  /**
   * Calls back once, when `token` is not good any more: to close what it opened, such as a WebSocket
   * or a stream. It is judged again whenever the feed is heard of, and when it expires. `onUndecided`
   * runs each time that the feed has become too old to tell: what is open then may belong to a token
   * that was revoked meanwhile.
   *
   * @param {unknown} token @param {(verdict: any) => void} callback
   * @param {import("../index.d.ts").WatchOptions} [options]
   * @returns {() => void} stops watching
   */
  onRevoked(token, callback, options = {}) {
    if (typeof callback !== "function") throw new TypeError("callback must be a function");
    const { onUndecided } = options;
    if (onUndecided !== undefined && typeof onUndecided !== "function") {
      throw new TypeError("onUndecided must be a function");
    }
    return this.#watchers.add(textOf(token), callback, options);
  }

  /**
   * One round of the feed, and the keys once they are old. Failures are answered, not thrown.
   *
   * @param {RequestOptions & { waitSeconds?: number }} [options]
   * @returns {Promise<RoundResult>}
   */
  async refresh(options = {}) {
    await this.#keeper?.restore((/** @type {Uint8Array} */ bytes) => this.#apply(bytes));
    const keys = this.refreshKeys(KEYS_MAX_AGE_SECONDS, options);
    const result = await this.#feed.round(options);
    if ("error" in result) this.#tell({ type: "failure", ...result });
    // An issuer that hangs holds up no revocation; where nothing outlives a request, that waits.
    if (this.following === null || this.following === "requests") await keys;
    await this.#keeper?.save();
    return result;
  }

  /**
   * Follows the feed's stream until it ends. The answer tells why it did.
   *
   * @param {import("../feed/client.js").Follower} events reads a stream @param {AbortSignal} signal
   * @returns {Promise<RoundResult>}
   */
  async followStream(events, signal) {
    const result = await this.#feed.stream(events, signal, () => {
      void unharmed(() => this.refreshKeys(KEYS_MAX_AGE_SECONDS));
      void unharmed(() => this.#keeper?.save());
    });
    if ("error" in result && !signal.aborted) this.#tell({ type: "failure", ...result });
    return result;
  }

  /**
   * Follows the feed after a request's answer, where the platform ends everything else with it. Does
   * nothing where no poll is due, and in runtimes in which `createVerifier` follows the feed. Without
   * `waitUntil` the request has to wait for the poll that this may return.
   *
   * @param {(work: Promise<unknown>) => void} [waitUntil]
   */
  followLater(waitUntil) {
    return this.#follower?.later(waitUntil);
  }

  /** Has the feed followed by requests where nothing else follows it. @param {(verifier: Verifier) => RequestFollower} make */
  followBy(make) {
    if (this.following === null && !this.#isClosed) this.#follower = make(this);
  }

  /**
   * Fetches the key sets that nobody has asked for in `olderThanSeconds`; true if one came.
   *
   * @param {number} [olderThanSeconds] @param {RequestOptions} [options]
   */
  async refreshKeys(olderThanSeconds = 0, options) {
    return this.#keys.refresh(olderThanSeconds, options);
  }

  /** True once there are keys for every issuer and a base to judge by. */
  get isReady() {
    return this.#keys.areThere && this.#evidence().position !== null;
  }

  /**
   * Runs `catchUp` when a token shows that the feed has gone on beyond what is held, at most once in
   * the time of two polls.
   *
   * @param {() => void} catchUp
   */
  onBehind(catchUp) {
    let last = -Infinity;
    this.#engine.onBehind = () => {
      const now = Date.now() / 1000;
      if (Math.abs(now - last) < this.feedSettings.pollSeconds * 2) return;
      last = now;
      catchUp();
    };
  }

  /** How long a long poll may be held back now, seconds; less than one for a plain poll. */
  get waitSeconds() {
    return this.#feed.waitSeconds;
  }

  /** How long a feed that has failed is to be spared, seconds, where that should not be for longer. */
  get retrySeconds() {
    return this.#feed.retrySeconds;
  }

  /** How long nothing need be polled, seconds, since a stream brings everything in time. */
  get quietSeconds() {
    return this.#feed.quietSeconds;
  }

  /** How long ago the feed was last followed successfully. */
  get secondsSinceRound() {
    return Math.abs(this.#clock() - this.#feed.lastRoundAt);
  }

  /** What was asked for under `feed`, with the defaults. */
  get feedSettings() {
    return this.#settings.feed;
  }

  /** How the verifier is: what it has, what it lacks, what went wrong last. */
  status() {
    const { position, age_seconds } = this.#evidence();
    return {
      ready: this.isReady,
      position,
      age_seconds,
      // Where no stream gets through in time, polls are what it lives on.
      following: this.following === "stream" && !this.#feed.isStreaming ? "poll" : this.following,
      feed: this.#feed.status(),
      keys: this.#keys.status(),
      watched: this.#watchers.size,
      instance: { replaced: generation, memory_bytes: instanceMemory().buffer.byteLength },
    };
  }

  /** Runs `stop` when the verifier is closed. @param {() => void} stop */
  onClose(stop) {
    this.#closing.push(stop);
  }

  /** Stops following the feed and frees the verifier's memory. */
  close() {
    this.#isClosed = true;
    for (const stop of this.#closing.splice(0)) stop();
    this.#watchers.clear();
    void unharmed(() => this.#keeper?.save(true));
    this.#engine.close();
  }

  /** As `apply`, for bytes that nobody else holds. @param {Uint8Array} bytes @returns {ApplyResult} */
  #take(bytes) {
    const result = this.#apply(bytes);
    this.#tell({ type: "snapshot", bytes: bytes.byteLength, ...result, ...this.#evidence() });
    if ("applied" in result && result.applied !== "ignored") this.#watchers.look();
    return result;
  }

  /** @param {Uint8Array} bytes @returns {ApplyResult} */
  #apply(bytes) {
    return survive(() => this.#engine.apply(bytes), ({ message }) =>
      ({ error: "verifier_failed", detail: message, needsBase: false }));
  }

  /** @param {import("../index.d.ts").Policy | undefined} policy */
  #stalenessOf(policy) {
    if (policy === undefined) return 0;
    const { maxStaleness, onStale } = readPolicy(policy);
    if (onStale === "allow") return ANY_AGE;
    return maxStaleness ?? (onStale === "deny" ? this.feedSettings.maxStalenessSeconds : 0);
  }

  #evidence() {
    return survive(() => (this.#isClosed ? NO_EVIDENCE : this.#engine.evidence()), () => NO_EVIDENCE);
  }

  /** Until the feed is too old to decide by, as configured. */
  #secondsUntilStale() {
    const { age_seconds } = this.#evidence();
    return age_seconds === null ? Infinity : this.feedSettings.maxStalenessSeconds - age_seconds + 1;
  }

  /**
   * Why the feed leaves it undecided: a wrong key or address should not have to be looked for.
   *
   * @param {Verdict} verdict @returns {Verdict}
   */
  #explained(verdict) {
    if (verdict.outcome !== "undecided" || !FEED_CODES.includes(verdict.code)) return verdict;
    const failure = this.#feed.status().last_failure;
    const isNews = failure !== null && failure.at >= this.#feed.lastRoundAt;
    const why = isNews ? `; the last failure: ${failure.error}: ${failure.detail}` : "";
    const advice = this.following === null ? "; nothing follows the feed: use createVerifier, or call refresh()" : "";
    return { ...verdict, detail: verdict.detail + why + advice };
  }

  /** The verdict on what a caller has in place of a token. @param {unknown} found @returns {Verdict} */
  #refuse(found) {
    const isMissing = found === undefined || found === null;
    const code = isMissing ? "missing_token" : "malformed";
    const kind = isMissing ? "none" : `a value of type ${typeof found}`;
    const detail = `expected the token as a string, found ${kind}`;
    return { outcome: "refused", code, detail, evidence: this.#evidence() };
  }

  /** @param {import("../index.d.ts").VerifierEvent} event */
  #tell(event) {
    const failure = this.#feed?.status().last_failure;
    const isFeeds = "error" in event && event.error === failure?.error;
    this.#warnings.tell(event, isFeeds ? failure?.url : undefined);
  }
}

/**
 * @typedef {{ later(waitUntil?: (work: Promise<unknown>) => void): Promise<unknown> | undefined }} RequestFollower
 */

/** Makes what follows the feed by requests, where a runtime wants that. @type {(verifier: Verifier) => RequestFollower | undefined} */
let followerOf = () => undefined;

/** Sets how requests follow the feed; a loader does so once. @param {typeof followerOf} make */
export function followByRequests(make) {
  followerOf = make;
}

/** What is no string is judged as the empty one, which is malformed. @param {unknown} token */
const textOf = (token) => (typeof token === "string" ? token : "");

/** @param {unknown} cause @returns {Verdict} */
function undecided(cause) {
  const error = afterError(cause);
  if (!(error instanceof TrapError)) throw error;
  const detail = error.message;
  return { outcome: "undecided", code: "verifier_failed", detail, evidence: NO_EVIDENCE };
}

/** What may be undecided because of how the feed was followed. @type {string[]} */
const FEED_CODES = ["no_snapshot", "stale_snapshot"];
/** A key that its issuer withdrew is forgotten after this. */
const KEYS_MAX_AGE_SECONDS = 300;
