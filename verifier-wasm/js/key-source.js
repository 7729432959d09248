// Where one issuer's keys come from: given with the options, or fetched from its JWK set's URL.

import { Backoff } from "./backoff.js";
import { boundedFetch } from "./bounded-fetch.js";

export class KeySource {
  #backoff = new Backoff();
  #askedAt = -Infinity;
  #clock;
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
    return this.#url !== undefined && this.#clock() - this.#askedAt >= seconds;
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
    if (this.jwks !== undefined) this.#askedAt = now;
    try {
      const bytes = await boundedFetch(this.#url, {
        accept: "application/jwk-set+json, application/json",
        maxBytes: MAX_KEY_SET_BYTES,
        signal,
        timeoutSeconds,
      });
      const jwks = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
      accept(jwks);
      this.jwks = jwks;
      this.#askedAt = this.#clock();
      this.#backoff.succeeded();
      return undefined;
    } catch (error) {
      const { retryAfterSeconds } = /** @type {{ retryAfterSeconds?: number }} */ (error);
      this.#backoff.failed(this.#clock(), retryAfterSeconds);
      return error instanceof Error ? error.message : String(error);
    }
  }
}

const MAX_KEY_SET_BYTES = 256 * 1024;
