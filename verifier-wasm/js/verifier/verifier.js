// The verifier as an application uses it: an engine that judges, the key sets and the feed that the engine
// needs, and their state.

import { Engine, NO_EVIDENCE } from "../engine/engine.js";
import { FeedClient } from "../feed/client.js";
import { Inspection, previewed } from "../feed/inspection.js";
import { INTERNALS } from "../feed/internals.js";
import { Warnings } from "./warnings.js";
import {
  TrapError, afterError, ensureLoaded, generation, instanceMemory, survive, unharmed,
} from "../engine/instance.js";
import { ANY_AGE } from "../engine/layout.js";
import { KeySources, isOfUnknownKey } from "../keys/key-sources.js";
import { invalid, readOptions, readPolicy } from "../options.js";
import { Watchers } from "./watchers.js";

/**
 * @typedef {import("../index.d.ts").Verdict} Verdict
 * @typedef {import("../index.d.ts").ApplyResult} ApplyResult
 * @typedef {import("../index.d.ts").RoundResult} RoundResult
 * @typedef {import("../index.d.ts").RequestOptions} RequestOptions
 *
 * @typedef {object} Platform What a runtime brings.
 * @property {import("../engine/host.js").Hosts} hosts what checks signatures in place of wasm
 * @property {(internals: import("../feed/internals.js").Internals) => import("../feed/internals.js").LaterFollower} [followRequests]
 *   what follows the feed where nothing outlives a request
 * @property {() => Promise<typeof import("../feed/head.js")>} loadHeads loads what reads heads
 * @property {number} [maxBytes] of a snapshot, where there is less memory than elsewhere
 */

export class Verifier {
  #engine;
  #feed;
  /** @type {import("../feed/internals.js").LaterFollower | undefined} */
  #follower;
  /** @type {import("../feed/internals.js").Internals} */
  #internals;
  #keeper;
  #keys;
  #warnings;
  #watchers;
  // No AbortController here: in Workers its signal would belong to the request that made it.
  #isClosed = false;
  /** @type {(() => void)[]} */
  #closing = [];

  /**
   * Reads the options and does no I/O: until keys and a base arrive, verdicts are undecided.
   *
   * @param {unknown} options @param {Platform} platform
   * @throws {TypeError} naming every problem
   */
  constructor(options, { followRequests, hosts, loadHeads, maxBytes }) {
    ensureLoaded();
    const settings = readOptions(options, maxBytes);
    const { clock } = settings;
    this.#engine = new Engine(settings, hosts);
    this.#watchers = new Watchers(({ isKnown, slot, token }) => survive(() => {
      const verdict = this.#engine.review(slot, token, isKnown);
      return verdict && this.#keys.doubted(verdict, token);
    }, () => undefined), clock, () => this.#secondsUntilStale());
    settings.keySources.forEach(({ jwks }, place) => {
      const problem = jwks && this.#engine.setKeys(place, jwks, false).problem;
      if (problem) throw invalid(`issuers[${place}].keys: ${problem}`);
    });
    this.#keys = new KeySources(settings.keySources, clock,
      (place, jwks) => this.#engine.setKeys(place, jwks, true),
      (detail) => this.#report({ type: "failure", error: "keys_unreachable", detail }));
    this.#warnings = new Warnings(settings.onEvent);
    this.#feed = new FeedClient({ ...settings.feed, loadHeads }, {
      age: () => this.#evidence().ageSeconds,
      apply: (bytes) => this.#take(bytes),
      inspect: () => new Inspection(this.#engine),
      isBehind: () => this.#engine.isBehind(),
      issuedAt: () => this.#engine.issuedAt(),
      preview: (head) => previewed(this.#engine, head),
      since: () => this.since(),
      report: (event) => this.#report(event),
    }, clock);
    this.#keeper = settings.store?.keeper(this.#engine, clock, settings.feed.maxBytes,
      (detail) => this.#report({ type: "failure", error: "store_failed", detail }), settings.config);
    this.#internals = {
      feed: this.#feed,
      followBy: (make) => {
        if (this.#feed.following === null && !this.#isClosed) this.#follower = make(this.#internals);
      },
      hosts,
      publicUrl: settings.publicUrl,
      onBehind: (catchUp) => this.#onBehind(catchUp),
      recall: (token, policy) => survive(() => this.#engine.recall(token, this.#howOf(policy)), () => undefined),
      onEvent: () => {
        void unharmed(() => this.refreshKeys(KEYS_MAX_AGE_SECONDS));
        void unharmed(() => this.#keeper?.save());
      },
      refresh: (given) => this.refresh(given),
      report: (event) => this.#report(event),
    };
    this.#follower = followRequests?.(this.#internals);
  }

  /** For the package's own parts. A getter, so that the log output of a verifier does not show its content. */
  get [INTERNALS]() {
    return this.#internals;
  }

  /**
   * Judges one token now, only with wasm. Never throws for a token: a failure of the verifier itself is undecided.
   *
   * @param {unknown} token @param {import("../index.d.ts").Policy & import("../index.d.ts").Shown} [policy]
   * @returns {Verdict}
   */
  verifySync(token, policy) {
    if (typeof token !== "string") return this.#refuse(token);
    const how = this.#howOf(policy);
    try {
      const known = this.#engine.recall(token, how);
      if (known?.outcome === "valid") return known;
      const verdict = known ?? this.#keys.doubted(this.#engine.verifySync(token, how), token);
      return this.#explained(verdict);
    } catch (error) {
      return undecided(error);
    }
  }

  /**
   * Like `verifySync`, with the fastest way to check the signature in this runtime. For an unknown key (a token
   * without `kid` may belong to one) the issuer's keys are fetched again first, at most once per cooldown, for
   * any tokens; all tokens of unknown keys wait for the same fetch.
   *
   * @param {unknown} token @param {import("../index.d.ts").Policy & import("../index.d.ts").Shown & RequestOptions} [options]
   * @returns {Promise<Verdict>}
   */
  async verify(token, options) {
    if (typeof token !== "string") return this.#refuse(token);
    const how = this.#howOf(options);
    try {
      const known = this.#engine.recall(token, how);
      if (known !== undefined) return this.#explained(known);
      const judge = () => this.#engine.verify(token, how);
      const found = judge();
      const verdict = found instanceof Promise ? await found : found;
      if (!isOfUnknownKey(verdict, token)) return this.#explained(verdict);
      const newer = await this.#keys.search(token, judge, options);
      return this.#explained(newer ?? this.#keys.doubted(verdict, token, true));
    } catch (error) {
      return undecided(error);
    }
  }

  /**
   * The result of each check separately, in the order in which a verdict makes them: for people who look for
   * the reason. Only with wasm.
   *
   * @param {unknown} token @param {import("../index.d.ts").Shown} [options]
   */
  explain(token, options) {
    return this.#engine.explain(textOf(token), this.#howOf(options));
  }

  /**
   * Applies one signed snapshot. Never throws for bad bytes: the last good state stays in force.
   *
   * @param {Uint8Array} bytes
   * @returns {ApplyResult}
   */
  apply(bytes) {
    if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
    // A copy: the caller may change the bytes afterwards.
    return this.#take(bytes.slice());
  }

  /**
   * Reads a feed file, in place of a round of the feed: where there is no network. Failures are returned, not thrown.
   *
   * @param {Uint8Array} bytes
   */
  async load(bytes) {
    if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
    return this.refresh({ snapshot: bytes });
  }

  /** The position from which to request more of the feed; undefined if a base is needed. */
  since() {
    return this.#engine.since();
  }

  /**
   * Calls back once, when `token` is no longer valid: to close what it opened, such as a WebSocket or a stream.
   * It is judged again with each snapshot, and when it expires. `onUndecided` runs each time that the feed has
   * become too old for a verdict: the token may have been revoked in the meantime.
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
    if (this.#isClosed) throw new Error("the verifier is closed");
    return this.#watchers.add(textOf(token), callback, options);
  }

  /**
   * One round of the feed; also fetches the keys if they are old. Failures are returned, not thrown.
   *
   * @param {RequestOptions & { snapshot?: Uint8Array, waitSeconds?: number }} [options]
   * @returns {Promise<RoundResult>}
   */
  async refresh(options = {}) {
    await this.#keeper?.restore((/** @type {Uint8Array} */ bytes) => this.#apply(bytes));
    const keys = this.refreshKeys(KEYS_MAX_AGE_SECONDS, options);
    const result = await this.#feed.round(options);
    if ("error" in result) this.#report({ type: "failure", ...result });
    // An issuer that hangs must not delay a revocation, nor another issuer's tokens; if nothing outlives a
    // request, the fetch is awaited.
    const isCutOff = this.#feed.following === null || this.#feed.following === "requests";
    if (isCutOff && options.waitUntil === undefined) await keys;
    await this.#keeper?.save();
    return result;
  }

  /**
   * Follows the feed after a request's answer, if the platform ends everything else with it. Does nothing if no
   * poll is due, and in runtimes in which `createVerifier` follows the feed. Without `waitUntil` the request
   * has to wait for the poll that this may return.
   *
   * @param {(work: Promise<unknown>) => void} [waitUntil]
   */
  followLater(waitUntil) {
    return this.#follower?.later(waitUntil);
  }

  /**
   * Fetches the key sets that were not fetched in `olderThanSeconds`; true if one changed.
   *
   * @param {number} [olderThanSeconds] @param {RequestOptions} [options]
   */
  async refreshKeys(olderThanSeconds = 0, options) {
    return this.#keys.refresh(olderThanSeconds, options);
  }

  /** True once there are keys for every issuer and a base. */
  get isReady() {
    return this.#keys.areThere && this.#evidence().position !== null;
  }

  /** The state of the verifier: what it has, what is missing, and the last failures. */
  status() {
    const { position, ageSeconds } = this.#evidence();
    const { following, streams } = this.#feed;
    return {
      ready: this.isReady,
      position,
      ageSeconds,
      // If no stream arrives in time, polls bring the revocations.
      following: following === "stream" && !streams?.isStreaming ? "poll" : following,
      feed: this.#feed.status(),
      keys: this.#keys.status(),
      watched: this.#watchers.size,
      instance: { replaced: generation(), memoryBytes: instanceMemory().buffer.byteLength },
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

  /** Like `apply`, for bytes that no other code holds. @param {Uint8Array} bytes @returns {ApplyResult} */
  #take(bytes) {
    const result = this.#apply(bytes);
    this.#report({ type: "snapshot", bytes: bytes.byteLength, ...result, ...this.#evidence() });
    if ("applied" in result && result.applied !== "ignored") this.#watchers.look();
    return result;
  }

  /** @param {Uint8Array} bytes @returns {ApplyResult} */
  #apply(bytes) {
    return survive(() => this.#engine.apply(bytes), ({ message }) =>
      ({ error: "verifier_failed", detail: message, needsBase: false }));
  }

  /** @param {() => void} catchUp */
  #onBehind(catchUp) {
    let last = -Infinity;
    this.#engine.onBehind = () => {
      const now = Date.now() / 1000;
      if (Math.abs(now - last) < this.#feed.settings.pollSeconds * 2) return;
      last = now;
      catchUp();
    };
  }

  /** @param {(import("../index.d.ts").Policy & import("../index.d.ts").Shown) | undefined} policy @returns {import("../engine/engine.js").How} */
  #howOf(policy) {
    if (policy === undefined) return AS_CONFIGURED;
    const { dpop, maxStaleness, onStale } = readPolicy(policy);
    if (onStale === "allow") return { dpop, staleness: ANY_AGE };
    const configured = onStale === "deny" ? this.#feed.settings.maxStalenessSeconds : 0;
    return { dpop, staleness: maxStaleness ?? configured };
  }

  #evidence() {
    return survive(() => (this.#isClosed ? NO_EVIDENCE : this.#engine.evidence()), () => NO_EVIDENCE);
  }

  /** Seconds until the feed is too old for a verdict, as configured. */
  #secondsUntilStale() {
    const { ageSeconds } = this.#evidence();
    return ageSeconds === null ? Infinity : this.#feed.settings.maxStalenessSeconds - ageSeconds + 1;
  }

  /**
   * Adds why the feed leaves it undecided, so that a wrong key or address is noticed soon.
   *
   * @param {Verdict} verdict @returns {Verdict}
   */
  #explained(verdict) {
    if (verdict.outcome !== "undecided" || !FEED_CODES.includes(verdict.code)) return verdict;
    const failure = this.#feed.lastFailure;
    const isNews = failure !== null && failure.at >= this.#feed.lastRoundAt;
    const why = isNews ? `; the last failure: ${failure.error}: ${failure.detail}` : "";
    const advice = this.#feed.following === null ? "; nothing follows the feed: use createVerifier, or call refresh()" : "";
    return { ...verdict, detail: verdict.detail + why + advice };
  }

  /** The verdict on a value that is not a string. @param {unknown} found @returns {Verdict} */
  #refuse(found) {
    const isMissing = found === undefined || found === null;
    const code = isMissing ? "missing_token" : "malformed";
    const kind = isMissing ? "none" : `a value of type ${typeof found}`;
    const detail = `expected the token as a string, found ${kind}`;
    return { outcome: "refused", code, detail, evidence: this.#evidence() };
  }

  /** @param {import("../index.d.ts").VerifierEvent} event */
  #report(event) {
    const failure = this.#feed?.lastFailure;
    const isFeeds = "error" in event && event.error === failure?.error;
    this.#warnings.report(event, isFeeds ? failure?.url : undefined);
  }
}

/** Any value but a string is judged like the empty string, which is malformed. @param {unknown} token */
const textOf = (token) => (typeof token === "string" ? token : "");

/** @param {unknown} cause @returns {Verdict} */
function undecided(cause) {
  const error = afterError(cause);
  if (!(error instanceof TrapError)) throw error;
  const detail = error.message;
  return { outcome: "undecided", code: "verifier_failed", detail, evidence: NO_EVIDENCE };
}

/** @type {import("../engine/engine.js").How} */
const AS_CONFIGURED = Object.freeze({ dpop: undefined, staleness: 0 });
/** The codes that may depend on how the feed was followed. @type {string[]} */
const FEED_CODES = ["no_snapshot", "stale_snapshot"];
/** A withdrawn key of an issuer is forgotten after this. */
const KEYS_MAX_AGE_SECONDS = 300;
