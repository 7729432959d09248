// Where one issuer's keys come from: given with the options, or fetched from its JWK set's URL.

import { Backoff } from "./backoff.js";
import { boundedExchange } from "./bounded-fetch.js";

export class KeySource {
  #backoff = new Backoff();
  #askedAt = -Infinity;
  #clock;
  /** How many fetches have begun, and which of them brought what is held. */
  #begun = 0;
  #accepted = 0;
  /** @type {number | null} */
  #fetchedAt = null;
  /** @type {string | null} */
  #problem = null;
  #url;
  /** The last good JWK set, as JSON text. @type {string | undefined} */
  jwks;

  /** @param {{ issuer: string, url?: string, jwks?: string }} source @param {() => number} clock */
  constructor({ issuer, url, jwks }, clock) {
    this.issuer = issuer;
    this.jwks = jwks;
    this.#url = url;
    this.#clock = clock;
  }

  /** True where a fetch may bring something: a URL, and nobody has asked for `seconds`. */
  isOlderThan(/** @type {number} */ seconds) {
    return this.#url !== undefined && Math.abs(this.#clock() - this.#askedAt) >= seconds;
  }

  /**
   * Fetches the set and hands it to `accept`, which throws if it is not usable. What was there
   * before stays on any failure. Answers with what went wrong, if anything did.
   *
   * @param {(jwks: string) => void} accept
   * @param {{ signal?: AbortSignal, timeoutSeconds?: number }} [options]
   * @returns {Promise<string | undefined>}
   */
  async refresh(accept, { signal, timeoutSeconds = 10 } = {}) {
    const now = this.#clock();
    if (this.#url === undefined || this.#backoff.isWaiting(now)) return undefined;
    this.#backoff.begin(now, timeoutSeconds);
    const turn = (this.#begun += 1);
    if (this.jwks !== undefined) this.#askedAt = now;
    try {
      const { bytes } = await boundedExchange(this.#url, {
        accept: "application/jwk-set+json, application/json",
        maxBytes: MAX_KEY_SET_BYTES,
        signal,
        timeoutSeconds,
      });
      const jwks = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
      // One that began earlier and is late has what the issuer said before.
      if (turn < this.#accepted) return undefined;
      accept(jwks);
      this.#accepted = turn;
      this.jwks = jwks;
      this.#askedAt = this.#fetchedAt = this.#clock();
      this.#problem = null;
      this.#backoff.succeeded();
      return undefined;
    } catch (error) {
      const { retryAfterSeconds } = /** @type {{ retryAfterSeconds?: number }} */ (error);
      this.#backoff.failed(this.#clock(), retryAfterSeconds);
      this.#problem = error instanceof Error ? error.message : String(error);
      return this.#problem;
    }
  }

  /** @returns {import("./index.d.ts").KeysStatus} */
  status() {
    const { issuer, jwks } = this;
    return { issuer, ready: jwks !== undefined, fetched_at: this.#fetchedAt, problem: this.#problem };
  }
}

const MAX_KEY_SET_BYTES = 256 * 1024;
