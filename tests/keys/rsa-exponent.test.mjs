// RSA keys whose exponent some hosts do not support (Bun reports every signature beyond 33 bits as wrong): the
// verdict is the same, whichever host checks the signature. D20.

import assert from "node:assert/strict";
import { createPrivateKey, createSign, generatePrimeSync } from "node:crypto";
import { test } from "node:test";
import { Verifier } from "offswitch";
import { nodeCrypto } from "../../verifier-wasm/js/engine/host-node-crypto.js";
import { importKey } from "../../verifier-wasm/js/engine/host.js";
import { AUDIENCE, ISSUER, now, sign } from "../support/fixture.mjs";

const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const encode = (bytes) => Buffer.from(bytes).toString("base64url");
const number = (value) => {
  const hex = value.toString(16);
  return encode(Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex"));
};

/** The inverse of `a` modulo `m`, or 0 if there is none. */
function inverse(a, m) {
  let [r, next, t, u] = [m, a % m, 0n, 1n];
  while (next !== 0n) [r, next, t, u] = [next, r % next, u, t - (r / next) * u];
  return r === 1n ? ((t % m) + m) % m : 0n;
}

/** An RSA key pair with this exponent. */
function pairWith(e) {
  for (;;) {
    const [p, q] = [0, 1].map(() => generatePrimeSync(1024, { bigint: true }));
    const d = inverse(e, (p - 1n) * (q - 1n));
    const n = p * q;
    if (d === 0n || p === q || n.toString(2).length !== 2048) continue;
    const parts = { n, e, d, p, q, dp: d % (p - 1n), dq: d % (q - 1n), qi: inverse(q, p) };
    const jwk = Object.fromEntries(Object.entries(parts).map(([name, value]) => [name, number(value)]));
    const secret = createPrivateKey({ key: { kty: "RSA", ...jwk }, format: "jwk" });
    return { secret, jwk: { kty: "RSA", alg: "RS256", kid: "rsa", n: jwk.n, e: jwk.e } };
  }
}

function tokenOf(secret) {
  const header = encode(JSON.stringify({ alg: "RS256", kid: "rsa", typ: "at+jwt" }));
  const claims = { iss: ISSUER, sub: "user", aud: AUDIENCE, jti: "token", iat: now() - 5, exp: now() + 600 };
  const signed = `${header}.${encode(JSON.stringify(claims))}`;
  return `${signed}.${encode(createSign("sha256").update(signed).sign(secret))}`;
}

const EXPONENTS = { "65537": [65537n, true], "2^32 + 15": [2n ** 32n + 15n, false], "2^33 + 17": [2n ** 33n + 17n, false] };
for (const [name, [exponent, isHosted]] of Object.entries(EXPONENTS)) {
  test(`verify and verifySync agree about an RSA key with the exponent ${name}`, async () => {
    const { secret, jwk } = pairWith(exponent);
    const verifier = new Verifier({
      issuer: ISSUER, audience: AUDIENCE, keys: { keys: [jwk] }, algorithms: ["RS256"], rememberedTokens: 0,
      feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
    });
    verifier.apply(base);
    const token = tokenOf(secret);
    assert.deepEqual([verifier.verifySync(token).code, (await verifier.verify(token)).code], ["valid", "valid"]);
    assert.equal((await importKey(new Map([["RS256", nodeCrypto]]), jwk)) !== null, isHosted, "a host is used only where hosts agree");
    verifier.close();
  });
}
