// The keys of the cases, new in each run, and tokens that node:crypto signs with them.

import {
  constants, createHmac, createSecretKey, generateKeyPairSync, randomBytes, sign,
} from "node:crypto";
import { AUDIENCE, ISSUER } from "../../support/fixture.mjs";
import { ALGORITHMS } from "../algorithms.mjs";

/** The time of all cases, in unix seconds: all tokens allow for slow machines. */
export const NOW = 1_800_000_000;

/**
 * @typedef {object} Key
 * @property {string} alg
 * @property {string | undefined} kid
 * @property {import("node:crypto").KeyObject} secret the private key
 * @property {Record<string, any>} jwk the public one; for HMAC the only one
 */

/** One key for each algorithm under `key-<alg>`, and a few of other sizes. */
export function makeKeys() {
  const rsa = rsaPair({ modulusLength: 2048 });
  const pss = rsaPair({ modulusLength: 2048 });
  const large = rsaPair({ modulusLength: 3072, publicExponent: 3 });
  // Moduli whose highest byte is not full: the encoded message is shorter than the signature.
  const [odd, odder] = [2049, 2050].map((modulusLength) => rsaPair({ modulusLength }));
  const secret = createSecretKey(randomBytes(64));
  const key = (alg) =>
    makeKey(alg, `key-${alg}`, { PS: pss, RS: rsa, HS: { privateKey: secret } }[alg.slice(0, 2)]);
  const others = [
    makeKey("RS256", "rsa-3072", large), makeKey("PS512", "pss-3072", large),
    makeKey("RS256", "rsa-2049", odd), makeKey("PS256", "pss-2049", odd),
    makeKey("PS384", "pss-2050", odder),
  ];
  const secrets = [32, 33, 63, 64, 65, 127, 128, 129, 200].map((size) =>
    makeKey("HS256", `secret-${size}`, { privateKey: createSecretKey(randomBytes(size)) }));
  return { ...Object.fromEntries(ALGORITHMS.map((alg) => [alg, key(alg)])), others, secrets };
}

/** @param {string} alg @param {string} [kid] @param {any} [pair] @returns {Key} */
export function makeKey(alg, kid, pair = newPair(alg)) {
  const { privateKey, publicKey = privateKey } = pair;
  const jwk = { ...publicKey.export({ format: "jwk" }), alg, kid };
  return { alg, kid, secret: privateKey, jwk };
}

/**
 * The same key under another name, or for another algorithm.
 *
 * @param {Key} key @param {Partial<Key>} other
 */
export const rename = (key, other) => ({ ...key, ...other, jwk: { ...key.jwk, ...other } });

/** Signs a token; a claim or header member that is undefined is left out. */
export const token = (key, claims, header) =>
  compact(key, headerText(key, header), claimsText(claims));

export const headerText = ({ alg, kid }, more) =>
  JSON.stringify({ alg, kid, typ: "at+jwt", ...more });

export const claimsText = (more) => JSON.stringify({
  iss: ISSUER, sub: "user", aud: AUDIENCE, jti: "token", sid: "session", ver: 1,
  iat: NOW - 10, exp: NOW + 600, ...more,
});

/** The signing input of a token. */
export const inputOf = (key, claims, header) =>
  `${base64url(headerText(key, header))}.${base64url(claimsText(claims))}`;

/** A compact JWS over exactly these texts or bytes. */
export const compact = (key, header, payload) =>
  signed(key, `${base64url(header)}.${base64url(payload)}`);

/** A signing input with its signature. */
export const signed = (key, input) => `${input}.${base64url(signature(key, input))}`;

/** @param {Key} key @param {string} input @param {object} [how] for node:crypto */
export function signature({ alg, secret }, input, how = {}) {
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith("HS")) return createHmac(hash, secret).update(input).digest();
  const digest = alg.startsWith("Ed") ? null : hash;
  return sign(digest, Buffer.from(input), { key: secret, ...HOW[alg.slice(0, 2)], ...how });
}

/** @param {string | Uint8Array} value */
export const base64url = (value) => Buffer.from(value).toString("base64url");

/** Header, payload and signature, encoded as in the token. */
export const segments = (text) => text.split(".");

function newPair(alg) {
  if (alg === "EdDSA") return generateKeyPairSync("ed25519");
  if (alg in CURVES) return generateKeyPairSync("ec", { namedCurve: CURVES[alg] });
  if (alg.startsWith("HS")) return { privateKey: createSecretKey(randomBytes(64)) };
  return rsaPair({ modulusLength: 2048 });
}

const rsaPair = (size) => generateKeyPairSync("rsa", size);

const CURVES = { ES256: "P-256", ES384: "P-384", ES512: "P-521" };
const HOW = {
  ES: { dsaEncoding: "ieee-p1363" },
  PS: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST },
};
