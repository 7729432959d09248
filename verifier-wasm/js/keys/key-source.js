// The source of one issuer's keys: the options, or the URL of its JWK set.
//
// Requests share values here, never promises: a fetch in progress is a time until which the others wait for it,
// so a request that is cut off delays them but never blocks them.

import { Backoff } from "../feed/backoff.js";
import { boundedExchange } from "../feed/bounded-fetch.js";

export class KeySource {
  #backoff = new Backoff();
  #askedAt = -Infinity;
  #clock;
  #headers;
  /** True if the last fetch failed. */
  #isFailing = false;
  /** How many fetches have begun, and which of them returned the held set. */
  #begun = 0;
  #accepted = 0;
  /** Until when others wait for the newest fetch, in milliseconds. */
  #leaseUntil = -Infinity;
  /** @type {number | null} */
  #fetchedAt = null;
  /** @type {string | null} */
  #problem = null;
  #url;
  /** Which keys of the set were left out, and why. @type {string[]} */
  #dropped = [];
  /** Key ids that the newest set lacks and the previous one had. @type {string[]} */
  #missed = [];
  /** Key ids that two sets in a row have lacked since; the newest. @type {Set<string>} */
  #withdrawn = new Set();
  /** The last well-formed JWK set, as JSON text. @type {string | undefined} */
  jwks;
  /** When the fetch began that brought it, in milliseconds as above. */
  confirmedAt = -Infinity;

  /**
   * @param {{ issuer: string, url?: string, headers?: Record<string, string>, jwks?: string }} source
   * @param {() => number} clock
   */
  constructor({ issuer, url, headers, jwks }, clock) {
    this.issuer = issuer;
    this.jwks = jwks;
    this.#url = url;
    this.#headers = headers;
    this.#clock = clock;
  }

  /** True if a fetch may help: there is a URL, and the last fetch is `seconds` ago. */
  isOlderThan(/** @type {number} */ seconds) {
    return this.#url !== undefined && Math.abs(this.#clock() - this.#askedAt) >= seconds;
  }

  /**
   * True if the issuer may have published the key `kid` by `time` (milliseconds) and it is not here. A key that
   * was withdrawn recently is not expected to come back.
   *
   * @param {number} time @param {string} kid
   */
  isOpenAt(time, kid) {
    const since = this.#withdrawn.has(kid) ? time - WITHDRAWN_MS : time;
    const isConfirmed = this.confirmedAt >= since && this.confirmedAt <= performance.now();
    return this.#url !== undefined && !isConfirmed;
  }

  /** True while a fetch is in progress that other requests wait for. */
  isBusy(/** @type {number} */ now) {
    return isWithin(this.#leaseUntil - now);
  }

  /** True while no fetch may begin because the last one failed. */
  isResting(/** @type {number} */ now) {
    return !this.isBusy(now) && this.#backoff.isWaiting(this.#clock());
  }

  /** The milliseconds until a fetch for an unknown key may begin: once per cooldown, and after a failure at the
   * end of the backoff. */
  waitMs(/** @type {number} */ now) {
    const left = [this.#leaseUntil - now, this.confirmedAt + COOLDOWN_MS - now];
    return Math.max(0, ...left.filter(isWithin));
  }

  /** Why the issuer's current keys are unknown; undefined if they are known. */
  doubt(/** @type {number} */ now) {
    if (this.#url === undefined) return undefined;
    if (this.isBusy(now) && this.#begun > this.#accepted) return "they are being fetched";
    return this.#isFailing ? `fetching them failed: ${this.#problem}` : undefined;
  }

  /**
   * Fetches the set and passes it to `accept`, which throws if it is not well-formed and returns the problem if
   * it has no usable key. Any failure leaves the previous set in force. Returns the failure, if there is one.
   *
   * @param {(jwks: string) => { problem?: string, dropped: string[] }} accept
   * @param {{ signal?: AbortSignal, timeoutSeconds?: number }} [options]
   * @returns {Promise<string | undefined>}
   */
  async refresh(accept, { signal, timeoutSeconds = 10 } = {}) {
    const now = this.#clock();
    if (this.#url === undefined || this.#backoff.isWaiting(now)) return undefined;
    this.#backoff.begin(now, timeoutSeconds);
    const turn = (this.#begun += 1);
    const begunAt = performance.now();
    const lease = (this.#leaseUntil = begunAt + Math.min(LEASE_MS, timeoutSeconds * 1000));
    try {
      const jwks = await this.#fetch(signal, timeoutSeconds);
      // A fetch that began earlier and ends late has an older set.
      if (turn < this.#accepted) return undefined;
      const { problem, dropped } = accept(jwks);
      this.#problem = problem ?? null;
      this.#dropped = dropped;
      this.#accepted = turn;
      this.#compare(jwks);
      this.jwks = jwks;
      this.confirmedAt = begunAt;
      this.#isFailing = false;
      this.#askedAt = this.#fetchedAt = this.#clock();
      this.#backoff.succeeded();
    } catch (error) {
      if (turn < this.#accepted) return undefined;
      const { retryAfterSeconds } = /** @type {{ retryAfterSeconds?: number }} */ (error);
      this.#backoff.failed(this.#clock(), retryAfterSeconds);
      this.#isFailing = true;
      this.#problem = error instanceof Error ? error.message : String(error);
    } finally {
      if (this.#leaseUntil === lease) this.#leaseUntil = -Infinity;
    }
    return this.#problem ?? undefined;
  }

  /** @param {AbortSignal | undefined} signal @param {number} timeoutSeconds */
  async #fetch(signal, timeoutSeconds) {
    const { bytes } = await boundedExchange(/** @type {string} */ (this.#url), {
      accept: "application/jwk-set+json, application/json",
      headers: this.#headers,
      maxBytes: MAX_KEY_SET_BYTES,
      signal,
      timeoutSeconds,
    });
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  }

  /** Remembers which keys are withdrawn; one set may come from a copy that is behind. @param {string} jwks */
  #compare(jwks) {
    const kids = new Set(kidsIn(jwks));
    for (const kid of this.#missed) this.#withdrawn.add(kid);
    for (const kid of kids) this.#withdrawn.delete(kid);
    this.#missed = kidsIn(this.jwks).filter((kid) => !kids.has(kid));
    for (const kid of this.#withdrawn) {
      if (this.#withdrawn.size <= MAX_WITHDRAWN) break;
      this.#withdrawn.delete(kid);
    }
  }

  /** @returns {import("../index.d.ts").KeysStatus} */
  status() {
    const { issuer, jwks } = this;
    return { issuer, ready: jwks !== undefined, fetchedAt: this.#fetchedAt, problem: this.#problem,
      dropped: this.#dropped };
  }
}

/**
 * False for a time in the past, and for one too far away: then the clock has been set back.
 *
 * @param {number} left milliseconds
 */
const isWithin = (left) => left > 0 && left <= LEASE_MS;

/** The key ids of a set that is known to be well-formed. @param {string} [jwks] @returns {string[]} */
function kidsIn(jwks = "{}") {
  const set = JSON.parse(jwks);
  const keys = Array.isArray(set.keys) ? set.keys : [set];
  return keys.map((/** @type {any} */ key) => key?.kid)
    .filter((/** @type {unknown} */ kid) => typeof kid === "string");
}

const MAX_KEY_SET_BYTES = 256 * 1024;
/** The shortest interval of fetches of an issuer's set for unknown keys, however many tokens name some. */
const COOLDOWN_MS = 2_000;
/** How long others wait for a fetch before one of them tries as well. */
const LEASE_MS = 3_000;
/** A key that left its set is not searched for again within this time: after a red button every client still
 * sends tokens of the old keys. */
const WITHDRAWN_MS = 10_000;
const MAX_WITHDRAWN = 256;
