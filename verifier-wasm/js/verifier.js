// The verifier as JavaScript sees it: wasm decides, this file carries bytes to and fro.

import { WasmVerifier } from "../pkg/offswitch.js";
import { FeedClient } from "./feed.js";
import { History } from "./history.js";
import { TrapError, guarded, instanceGeneration, instanceMemoryBytes } from "./instance.js";
import { KeySource } from "./key-source.js";
import { readOptions } from "./options.js";

/**
 * @typedef {{ position: string | null, age_seconds: number | null }} Evidence
 *
 * @typedef {{ outcome: "valid", code: "valid", claims: Record<string, any>, evidence: Evidence }
 *   | { outcome: "refused" | "undecided", code: string, detail: string, evidence: Evidence }} Verdict
 *
 * @typedef {{ applied: "extended" | "ignored" | "refreshed" | "replaced" }
 *   | { error: string, detail: string, needsBase: boolean }} ApplyResult
 */

export class Verifier {
  #clock;
  #config;
  /** @type {string | undefined} */
  #floor;
  #generation = -1;
  #history = new History();
  #keySources;
  #feed;
  /** @type {WasmVerifier | undefined} */
  #wasm;
  // No AbortController here: in Workers its signal would belong to the request that made it.
  #isClosed = false;
  /** @type {(() => void)[]} */
  #closing = [];

  /**
   * Reads the options and does no I/O: until keys and a base arrive, verdicts are undecided.
   *
   * @param {unknown} options
   * @throws {TypeError} naming every problem
   */
  constructor(options) {
    const settings = readOptions(options);
    this.#clock = settings.clock;
    this.#config = settings.config;
    this.#keySources = settings.keySources.map((source) => new KeySource(source, this.#clock));
    this.#feed = new FeedClient(
      settings.feed,
      { since: () => this.since(), apply: (bytes) => this.apply(bytes) },
      this.#clock,
    );
    this.pollSeconds = settings.feed.pollSeconds;
    this.longPollSeconds = settings.feed.longPollSeconds;
    try {
      this.#current();
    } catch (error) {
      throw new TypeError(/** @type {Error} */ (error).message);
    }
  }

  /**
   * Judges one token now. Answers always: a failure of the verifier itself is undecided.
   *
   * @param {string} token
   * @returns {Verdict}
   */
  verifySync(token) {
    if (typeof token !== "string") throw new TypeError("token must be a string");
    try {
      const verdict = JSON.parse(guarded(() => this.#current().verify(token, this.#clock())));
      return this.#withoutKeys(verdict);
    } catch (error) {
      if (!(error instanceof TrapError)) throw error;
      const evidence = { position: null, age_seconds: null };
      return { outcome: "undecided", code: "verifier_failed", detail: error.message, evidence };
    }
  }

  /**
   * As `verifySync`; for an unknown key the issuer's keys are fetched again first, at most once
   * per cooldown whatever tokens claim.
   *
   * @param {string} token
   * @param {{ signal?: AbortSignal, timeoutSeconds?: number }} [options]
   * @returns {Promise<Verdict>}
   */
  async verify(token, options) {
    const verdict = this.verifySync(token);
    if (verdict.code !== "unknown_key" || !(await this.refreshKeys(COOLDOWN_SECONDS, options))) {
      return verdict;
    }
    return this.verifySync(token);
  }

  /**
   * Takes one signed snapshot. Never throws for bad bytes: the last good state stays in force.
   *
   * @param {Uint8Array} bytes
   * @returns {ApplyResult}
   */
  apply(bytes) {
    if (!(bytes instanceof Uint8Array)) throw new TypeError("bytes must be a Uint8Array");
    try {
      const before = this.since();
      /** @type {ApplyResult} */
      const result = JSON.parse(guarded(() => this.#current().apply(bytes, this.#clock())));
      if ("applied" in result) {
        this.#history.remember(result.applied, bytes, this.since() !== before);
      }
      this.#floor = guarded(() => this.#current().floor());
      return result;
    } catch (error) {
      if (!(error instanceof TrapError)) throw error;
      return { error: "verifier_failed", detail: error.message, needsBase: false };
    }
  }

  /** The position to ask the feed for more from; undefined where a base is wanted. */
  since() {
    return guarded(() => this.#current().since());
  }

  /**
   * One round of the feed, and the keys once they are old. Failures are answered, not thrown.
   *
   * @param {{ waitSeconds?: number, signal?: AbortSignal, timeoutSeconds?: number }} [options]
   */
  async refresh(options = {}) {
    const { signal, timeoutSeconds } = options;
    await this.refreshKeys(KEYS_MAX_AGE_SECONDS, { signal, timeoutSeconds });
    return this.#feed.round(options);
  }

  /** When the feed was last followed successfully, unix seconds. */
  get lastRoundAt() {
    return this.#feed.lastRoundAt;
  }

  /**
   * Fetches the key sets that nobody has asked for in `olderThanSeconds`; true if one came.
   *
   * @param {number} [olderThanSeconds]
   * @param {{ signal?: AbortSignal, timeoutSeconds?: number }} [options]
   */
  async refreshKeys(olderThanSeconds = 0, options) {
    const due = this.#keySources.filter((source) => source.isOlderThan(olderThanSeconds));
    const tries = due.map(async (source) => {
      const before = source.jwks;
      const accept = (/** @type {string} */ jwks) =>
        void guarded(() => this.#current().setKeys(source.issuer, jwks));
      await source.refresh(accept, options);
      return source.jwks !== before;
    });
    return (await Promise.all(tries)).includes(true);
  }

  /** True once there are keys for every issuer and a base to judge by. */
  get isReady() {
    return this.#hasKeys() && this.since() !== undefined;
  }

  /** How much memory the wasm instance has taken; every verifier of this runtime shares it. */
  get memoryBytes() {
    return instanceMemoryBytes();
  }

  /** Runs `stop` when the verifier is closed. @param {() => void} stop */
  onClose(stop) {
    this.#closing.push(stop);
  }

  /** Stops following the feed and frees the verifier's memory. */
  close() {
    this.#isClosed = true;
    for (const stop of this.#closing.splice(0)) stop();
    if (this.#generation === instanceGeneration()) this.#wasm?.free();
    this.#wasm = undefined;
  }

  #hasKeys() {
    return this.#keySources.every((source) => source.jwks !== undefined);
  }

  /** A key is only unknown where the keys are known. */
  #withoutKeys(/** @type {Verdict} */ verdict) {
    if (verdict.code !== "unknown_key" || this.#hasKeys()) return verdict;
    const detail = "the issuer's keys could not be fetched yet";
    const { evidence } = verdict;
    return /** @type {Verdict} */ ({ outcome: "undecided", code: "no_keys", detail, evidence });
  }

  /** The verifier in wasm, made anew with all it knew if its instance was replaced. */
  #current() {
    if (this.#isClosed) throw new Error("the verifier is closed");
    if (this.#wasm !== undefined && this.#generation === instanceGeneration()) return this.#wasm;
    const wasm = new WasmVerifier(this.#config);
    for (const { issuer, jwks } of this.#keySources) {
      if (jwks !== undefined) wasm.setKeys(issuer, jwks);
    }
    if (this.#floor !== undefined) wasm.resume(this.#floor);
    for (const bytes of this.#history.snapshots()) wasm.apply(bytes, this.#clock());
    this.#wasm = wasm;
    this.#generation = instanceGeneration();
    return wasm;
  }
}

/** Whatever unknown keys tokens name, an issuer's key set is fetched this often at most; after a red
 * button every new login waits for it. */
const COOLDOWN_SECONDS = 2;
/** A key that its issuer withdrew is forgotten after this. */
const KEYS_MAX_AGE_SECONDS = 300;
