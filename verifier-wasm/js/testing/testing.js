// Keys, tokens, a feed and revocations in memory, for the unit tests of applications. The verifier is the
// real one and judges really signed tokens by really signed snapshots, without a network.

import { Verifier, load } from "offswitch";
import { ERA, TestFeed } from "./feed.js";

/**
 * @typedef {import("./testing.d.ts").TestRevocation} TestRevocation
 * @typedef {import("./testing.d.ts").TestVerifierOptions} TestVerifierOptions
 */

/** @param {{ issuer?: string, audience?: string }} [options] */
export async function createTestIssuer({ issuer = "https://issuer.test", audience = "test" } = {}) {
  await load();
  const feedKey = /** @type {CryptoKeyPair} */ (await subtle.generateKey("Ed25519", true, USES));
  const tokenKey = await subtle.generateKey(ES256, true, USES);
  const { crv, kty, x, y } = await subtle.exportKey("jwk", tokenKey.publicKey);
  const jwks = { keys: [{ alg: "ES256", crv, kid: "test", kty, x, y }] };
  const publicKey = new Uint8Array(await subtle.exportKey("raw", feedKey.publicKey));
  const feed = new TestFeed(issuer, publicKey, feedKey.privateKey);
  return new TestIssuer(issuer, audience, jwks, tokenKey.privateKey, feed);
}

class TestIssuer {
  #feed;
  #tokenKey;
  /** By how many seconds its clock is ahead of the system's. */
  #ahead = 0;
  /** @type {Set<TestVerifier>} */
  #verifiers = new Set();
  /** The issuers whose tokens its verifiers accept. */
  #issuers;

  /** @param {string} issuer @param {string} audience @param {import("../index.d.ts").JsonWebKeySet} jwks @param {CryptoKey} tokenKey @param {TestFeed} feed */
  constructor(issuer, audience, jwks, tokenKey, feed) {
    this.issuer = issuer;
    this.audience = audience;
    this.jwks = jwks;
    this.#tokenKey = tokenKey;
    this.#feed = feed;
    this.#issuers = new Set([issuer]);
  }

  /** @param {TestVerifierOptions} [options] */
  async createVerifier(options) {
    const verifier = this.createUndecidedVerifier(options);
    verifier.snapshot = () => this.#feed.snapshot(this.#now());
    await verifier.refresh();
    this.#verifiers.add(verifier);
    for (const other of options?.issuers ?? []) this.#issuers.add(other.issuer);
    verifier.onClose(() => this.#verifiers.delete(verifier));
    return verifier;
  }

  /** @param {TestVerifierOptions} [options] */
  createUndecidedVerifier(options = {}) {
    const { issuer, audience, jwks: keys } = this;
    const { publicKey } = this.#feed;
    const trusted = { url: "https://feed.invalid/", publicKeys: [base64url(publicKey)] };
    const feed = { maxStaleness: 86_400, ...options.feed, ...trusted };
    return new TestVerifier({ ...options, issuer, audience, keys, feed, clock: () => this.#now() });
  }

  /** @param {Record<string, unknown>} [claims] @param {Record<string, unknown>} [header] */
  async token(claims = {}, header = {}) {
    const iat = Math.floor(this.#now());
    const parts = [
      { alg: "ES256", kid: "test", typ: "at+jwt", ...header },
      {
        iss: this.issuer, aud: this.audience, sub: "user", iat, exp: iat + 600,
        jti: crypto.randomUUID(), sid: crypto.randomUUID(), ver: this.#feed.seq, ...claims,
      },
    ];
    const signed = parts.map((part) => base64url(utf8(JSON.stringify(part)))).join(".");
    const signature = await subtle.sign(ES256, this.#tokenKey, utf8(signed));
    return `${signed}.${base64url(new Uint8Array(signature))}`;
  }

  /** @param {TestRevocation} what */
  async revoke(what) {
    return this.#from(this.#feed.revoke(what, this.#issuers, Math.floor(this.#now())));
  }

  async redButton() {
    return this.#from(this.#feed.pressRedButton(Math.floor(this.#now())));
  }

  /** @param {number} seconds */
  async advance(seconds) {
    this.#ahead += seconds;
    await this.#publish();
  }

  /** Cut-offs are whole seconds: the clock moves on until new tokens are valid. @param {number} instant */
  #from(instant) {
    const left = instant - this.#now();
    if (left > 0) this.#ahead += left + A_MOMENT;
    return this.#publish();
  }

  async #publish() {
    for (const verifier of this.#verifiers) {
      const result = await verifier.refresh();
      if ("error" in result) throw new Error(`the verifier refused the snapshot: ${result.detail}`);
    }
    return { position: `${ERA}.${this.#feed.seq}` };
  }

  #now() {
    return Date.now() / 1000 + this.#ahead;
  }
}

/** The real verifier, which gets its snapshots from memory. */
class TestVerifier extends Verifier {
  /** @type {() => Promise<Uint8Array | undefined>} */
  snapshot = async () => undefined;

  async refresh() {
    const bytes = await this.snapshot();
    return bytes === undefined ? { skipped: /** @type {const} */ (true) } : this.apply(bytes);
  }

  /** @returns {undefined} */
  followLater() {}
}

/** @param {Uint8Array} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
/** @param {string} text */
const utf8 = (text) => new TextEncoder().encode(text);

const { subtle } = crypto;
const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** @type {KeyUsage[]} */
const USES = ["sign", "verify"];
/** Seconds. More than the precision that is lost when times are added. */
const A_MOMENT = 0.001;
