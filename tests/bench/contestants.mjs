// Offswitch and the peers, each as a function from a token to its claims. It does not depend on the runtime.

import { verify as honoVerify } from "hono/jwt";
import { verify as tsndrVerify } from "@tsndr/cloudflare-worker-jwt";
import { importJWK, jwtVerify } from "jose";

const ISSUER = "https://issuer.test";

/** A verifier with the defaults, except for what the tokens need. */
export function makeVerifier({ Verifier }, material, alg, { base = material.base, ...more } = {}) {
  const { jwk } = material.algorithms[alg];
  const verifier = new Verifier({
    issuer: ISSUER, audience: "unchecked", types: ["JWT"], algorithms: [alg], keys: { keys: [jwk] }, ...more,
    feed: { url: "http://feed.invalid", id: "feed", publicKeys: [material.publicKey], maxStaleness: 86_400 },
  });
  const result = verifier.apply(base);
  if (result.applied !== "replaced") throw new Error(JSON.stringify(result));
  return verifier;
}

/** Throws without claims: measuring refusals would measure something else. */
export const claimsOf = (verdict) => {
  if (verdict.outcome !== "valid") throw new Error(JSON.stringify(verdict));
  return verdict.claims;
};

/**
 * The peers that run in this runtime. None checks revocation; the key of each is imported beforehand.
 *
 * @param {any} material @param {string} alg @param {{ fastJwt?: any }} more what only some runtimes have
 */
export async function makePeers(material, alg, { fastJwt }) {
  const { jwk, pem } = material.algorithms[alg];
  const key = await importJWK(jwk, alg);
  const peers = {
    jose: async (token) => (await jwtVerify(token, key, { issuer: ISSUER, algorithms: [alg] })).payload,
    hono: (token) => honoVerify(token, key instanceof Uint8Array ? secretOf(jwk) : key, { alg, iss: ISSUER }),
  };
  if (alg !== "EdDSA") {
    const theirs = key instanceof Uint8Array ? await hmacKey(key) : key;
    peers.tsndr = async (token) => {
      const found = await tsndrVerify(token, theirs, { algorithm: alg, throwError: true });
      return found.payload;
    };
  }
  if (fastJwt !== undefined) {
    const secret = jwk.k && Buffer.from(jwk.k, "base64url");
    peers["fast-jwt"] = fastJwt({ key: secret ?? pem, algorithms: [alg], allowedIss: ISSUER, cache: false });
  }
  return peers;
}

/** fast-jwt with its cache, which has room for all tokens. */
export function cachedFastJwt(fastJwt, material, alg) {
  const { pem } = material.algorithms[alg];
  return fastJwt({ key: pem, algorithms: [alg], allowedIss: ISSUER, cache: 20_000 });
}

const hmacKey = (bytes) =>
  crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);

/** hono takes a secret as text or as JWK. */
const secretOf = (jwk) => ({ kty: "oct", k: jwk.k, alg: jwk.alg });
