// The revocations of a test, under the control plane's rules, and the key that signs them.

import { checkedClaims } from "./claims.js";
import { USES, byBytes, fingerprint, signSnapshot } from "./snapshot.js";

/** @typedef {{ of: bigint, minimumVersion: number, notBefore: number }} Cutoff */

export class TestFeed {
  #salt = crypto.getRandomValues(new Uint8Array(16));
  #privateKey;
  /** @type {bigint[]} */
  #denied = [];
  /** @type {{ issuer: string, kid: string }[]} */
  #deadKeys = [];
  /** @type {Map<bigint, Cutoff>} */
  #cutoffs = new Map();
  /** The selectors of each issuer: their uses by their paths, as JSON. @type {Map<string, Map<string, number>>} */
  #selectors = new Map();
  #epoch = 0;
  seq = 0;

  /** @param {string} issuer @param {Uint8Array} publicKey @param {CryptoKey} privateKey */
  constructor(issuer, publicKey, privateKey) {
    this.issuer = issuer;
    this.publicKey = publicKey;
    this.#privateKey = privateKey;
    this.#selectorsOf(issuer);
  }

  /**
   * @param {import("./testing.d.ts").TestRevocation} what @param {Set<string>} issuers whose tokens verifiers accept
   * @param {number} now
   * @returns {number} the time from which new tokens of the test issuer are valid
   * @throws {TypeError} if no verifier would enforce it
   */
  revoke(what, issuers, now) {
    const { issuer: given, issuedBefore, ...named } = /** @type {Record<string, any>} */ (what);
    const [kind, ...others] = Object.keys(named);
    const value = named[kind];
    const isGood = kind === "claims" ? typeof value === "object" && value !== null : typeof value === "string";
    if (others.length > 0 || !KINDS.includes(kind) || !isGood) {
      throw new TypeError(`revoke takes one of ${KINDS.join(", ")}: a string, or claims as an object; found ${Object.keys(named)}`);
    }
    const token = kind === "token" ? payloadOf(value) : undefined;
    const issuer = given ?? token?.iss ?? this.issuer;
    if (!issuers.has(issuer)) {
      throw new TypeError(`issuer: no verifier accepts tokens of ${issuer}, only of ${[...issuers].join(", ")}`);
    }
    let from = now;
    if (kind === "kid") {
      if (issuedBefore !== undefined) throw new TypeError(NO_INSTANT);
      this.#deadKeys.push({ issuer, kid: value });
    } else {
      const claims = token ? { jti: jtiOf(token) } : kind === "claims" ? value : { [CLAIM_OF[kind]]: value };
      from = this.#revokeClaims(issuer, checkedClaims(claims), issuedBefore, now);
    }
    this.seq += 1;
    return from;
  }

  /** Also revokes tokens of this second. @param {number} now @returns {number} as `revoke` */
  pressRedButton(now) {
    this.seq += 1;
    return (this.#epoch = now + 1);
  }

  /** @param {number} now */
  snapshot(now) {
    const { issuer, publicKey, seq } = this;
    const sign = async (/** @type {Uint8Array} */ message) =>
      new Uint8Array(await crypto.subtle.sign("Ed25519", this.#privateKey, bytes(message)));
    const issuers = [...this.#selectors].map(([name, selectors]) => ({
      issuer: name,
      epoch: name === issuer ? this.#epoch : 0,
      selectors: [...selectors].map(([paths, uses]) => ({ paths: JSON.parse(paths), uses })),
    }));
    return signSnapshot({
      feed: issuer, era: ERA, from: 0, to: seq,
      // Every verifier has the same history, so its hash does not matter.
      chainFrom: new Uint8Array(32), chainTo: new Uint8Array(32).fill(Math.min(seq, 1)),
      issuedAt: Math.floor(now), validUntil: Math.floor(now) + 86_400,
      salt: this.#salt, issuers, deadKeys: this.#deadKeys,
      denied: this.#denied, cutoffs: [...this.#cutoffs.values()],
    }, [{ publicKey, sign }]);
  }

  /**
   * @param {string} issuer @param {Record<string, import("./testing.d.ts").ClaimValue>} claims by their paths
   * @param {number | undefined} issuedBefore @param {number} now
   */
  #revokeClaims(issuer, claims, issuedBefore, now) {
    const paths = Object.keys(claims).sort(byBytes);
    // Claims that are only the id of a token, a session or a user become a revocation of that.
    const alone = paths.length === 1 && typeof claims[paths[0]] === "string" ? paths[0] : undefined;
    const isExact = alone === "jti" || alone === "sid";
    const isOwn = issuer === this.issuer;
    const hasVersion = isOwn && alone === "sub";
    if (issuedBefore !== undefined) {
      if (isExact || hasVersion) throw new TypeError(NO_INSTANT);
      if (!Number.isInteger(issuedBefore) || issuedBefore < EARLIEST || issuedBefore > now + MAX_LEAD_SECONDS) {
        throw new TypeError(`issuedBefore is ${issuedBefore}, it must be unix seconds, at most ${MAX_LEAD_SECONDS} s from now`);
      }
    }
    this.#use(issuer, paths, isExact ? USES.exact : USES.cutoff);
    const of = fingerprint(this.#salt, issuer, claims);
    if (isExact) this.#denied.push(of);
    else if (hasVersion) this.#cutOff({ of, minimumVersion: this.seq + 1, notBefore: now });
    // Tokens of this second may be older than the revocation.
    else this.#cutOff({ of, minimumVersion: 0, notBefore: issuedBefore ?? now + 1 });
    return isOwn && !isExact && !hasVersion && issuedBefore === undefined ? now + 1 : now;
  }

  /** No revocation is undone: the later cut-off applies. @param {Cutoff} cutoff */
  #cutOff({ of, minimumVersion, notBefore }) {
    const before = this.#cutoffs.get(of) ?? { minimumVersion: 0, notBefore: 0 };
    this.#cutoffs.set(of, {
      of,
      minimumVersion: Math.max(minimumVersion, before.minimumVersion),
      notBefore: Math.max(notBefore, before.notBefore),
    });
  }

  /** @param {string} issuer @param {string[]} paths @param {number} uses */
  #use(issuer, paths, uses) {
    const selectors = this.#selectorsOf(issuer);
    const name = JSON.stringify(paths);
    if (!selectors.has(name) && selectors.size >= MAX_SELECTORS) {
      throw new TypeError(`at most ${MAX_SELECTORS} combinations of claims can be in use for an issuer; in use are ${[...selectors.keys()].join(", ")}`);
    }
    selectors.set(name, (selectors.get(name) ?? 0) | uses);
  }

  /** @param {string} issuer */
  #selectorsOf(issuer) {
    const found = this.#selectors.get(issuer) ?? new Map(OF_EVERY_ISSUER);
    this.#selectors.set(issuer, found);
    return found;
  }
}

/** @param {string} token */
function payloadOf(token) {
  const base64 = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))));
}

/** @param {{ jti?: unknown }} payload */
function jtiOf({ jti }) {
  if (typeof jti !== "string") throw new TypeError("the token has no jti to revoke it by");
  return jti;
}

/** Tells the compiler that no other thread can change the bytes. @param {Uint8Array} any */
const bytes = (any) => /** @type {Uint8Array<ArrayBuffer>} */ (any);

export const ERA = 1;
const KINDS = ["claims", "jti", "kid", "sessionId", "sub", "token"];
/** @type {Record<string, string>} */
const CLAIM_OF = { jti: "jti", sessionId: "sid", sub: "sub" };
/** @type {[string, number][]} */
const OF_EVERY_ISSUER = [['["jti"]', USES.jti], ['["sid"]', USES.sid], ['["sub"]', USES.sub]];
const NO_INSTANT = "issuedBefore is for claims, and for sub of another issuer";
/** The same values as in the control plane. */
const MAX_SELECTORS = 8;
const MAX_LEAD_SECONDS = 300;
const EARLIEST = 1_000_000_000;
