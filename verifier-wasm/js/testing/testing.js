// Keys, tokens, a feed and revocations in memory, for the unit tests of applications. The verifier is the
// real one and judges really signed tokens by really signed snapshots, without a network.

import { Verifier, load } from "offswitch";
import { USES as USES_OF, fingerprint, signSnapshot } from "./snapshot.js";

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
  /** How far its clock is ahead of the system's, seconds. */
  #ahead = 0;
  /** @type {Set<TestVerifier>} */
  #verifiers = new Set();

  /** @param {string} issuer @param {string} audience @param {import("../index.d.ts").JsonWebKeySet} jwks @param {CryptoKey} tokenKey @param {TestFeed} feed */
  constructor(issuer, audience, jwks, tokenKey, feed) {
    this.issuer = issuer;
    this.audience = audience;
    this.jwks = jwks;
    this.#tokenKey = tokenKey;
    this.#feed = feed;
  }

  /** @param {TestVerifierOptions} [options] */
  async createVerifier(options) {
    const verifier = this.createUndecidedVerifier(options);
    verifier.snapshot = () => this.#feed.snapshot(this.#now());
    await verifier.refresh();
    this.#verifiers.add(verifier);
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
    const iat = Math.max(Math.floor(this.#now()), this.#feed.epoch);
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
    const given = Object.entries(what);
    if (given.length !== 1 || typeof given[0][1] !== "string") {
      throw new TypeError(`revoke takes one of ${KINDS.join(", ")} as a string, found ${Object.keys(what)}`);
    }
    this.#feed.revoke(given[0][0], given[0][1], Math.floor(this.#now()));
    return this.#publish();
  }

  async redButton() {
    this.#feed.pressRedButton(Math.floor(this.#now()));
    return this.#publish();
  }

  /** @param {number} seconds */
  async advance(seconds) {
    this.#ahead += seconds;
    await this.#publish();
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

/** The real verifier, which gets its snapshots handed over. */
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

/** What was revoked, and the key that signs it. */
class TestFeed {
  #salt = crypto.getRandomValues(new Uint8Array(16));
  #privateKey;
  /** @type {bigint[]} */
  #denied = [];
  /** @type {{ issuer: string, kid: string }[]} */
  #deadKeys = [];
  /** @type {Map<bigint, { of: bigint, minimumVersion: number, notBefore: number }>} */
  #cutoffs = new Map();
  epoch = 0;
  seq = 0;

  /** @param {string} issuer @param {Uint8Array} publicKey @param {CryptoKey} privateKey */
  constructor(issuer, publicKey, privateKey) {
    this.issuer = issuer;
    this.publicKey = publicKey;
    this.#privateKey = privateKey;
  }

  /** @param {string} kind @param {string} id @param {number} now */
  revoke(kind, id, now) {
    const { issuer } = this;
    const of = (/** @type {string} */ claim, name = id) => fingerprint(this.#salt, issuer, { [claim]: name });
    if (!KINDS.includes(kind)) throw new TypeError(`revoke takes one of ${KINDS.join(", ")}, found ${kind}`);
    if (kind === "token") this.#denied.push(of("jti", jtiOf(id)));
    if (kind === "jti") this.#denied.push(of("jti"));
    if (kind === "sessionId") this.#denied.push(of("sid"));
    if (kind === "kid") this.#deadKeys.push({ issuer, kid: id });
    this.seq += 1;
    if (kind === "sub") this.#cutoffs.set(of("sub"), { of: of("sub"), minimumVersion: this.seq, notBefore: now });
  }

  /** Tokens of this second are off too, and the next ones are dated to the next. @param {number} now */
  pressRedButton(now) {
    this.seq += 1;
    this.epoch = now + 1;
  }

  /** @param {number} now */
  snapshot(now) {
    const { epoch, issuer, publicKey, seq } = this;
    const sign = async (/** @type {Uint8Array} */ message) =>
      new Uint8Array(await subtle.sign("Ed25519", this.#privateKey, bytes(message)));
    return signSnapshot({
      feed: issuer, era: ERA, from: 0, to: seq,
      // What has happened is the same for every verifier, so that a hash of it has nothing to tell.
      chainFrom: new Uint8Array(32), chainTo: new Uint8Array(32).fill(Math.min(seq, 1)),
      issuedAt: Math.floor(now), validUntil: Math.floor(now) + 86_400,
      salt: this.#salt, issuers: [{ issuer, epoch, selectors: SELECTORS }], deadKeys: this.#deadKeys,
      denied: this.#denied, cutoffs: [...this.#cutoffs.values()],
    }, [{ publicKey, sign }]);
  }
}

/** @param {string} token */
function jtiOf(token) {
  const base64 = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
  const { jti } = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))));
  if (typeof jti !== "string") throw new TypeError("the token has no jti to revoke it by");
  return jti;
}

/** @param {Uint8Array} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
/** @param {string} text */
const utf8 = (text) => new TextEncoder().encode(text);
/** The compiler's word for bytes that no other thread can change. @param {Uint8Array} any */
const bytes = (any) => /** @type {Uint8Array<ArrayBuffer>} */ (any);

const { subtle } = crypto;
const ES256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
/** @type {KeyUsage[]} */
const USES = ["sign", "verify"];
const SELECTORS = [
  { paths: ["jti"], uses: USES_OF.jti }, { paths: ["sid"], uses: USES_OF.sid }, { paths: ["sub"], uses: USES_OF.sub },
];
const KINDS = ["jti", "kid", "sessionId", "sub", "token"];
const ERA = 1;
