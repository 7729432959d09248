// Public keys as secrets, keys that must not load, and tokens of another kind.

import { createHmac, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { ISSUER } from "../../support/fixture.mjs";
import { SYMMETRIC } from "../algorithms.mjs";
import { TORSION, addPoints, compress, forge, multiplyBase } from "./edwards.mjs";
import { refused, valid } from "./expected.mjs";
import { NOW, base64url, compact, headerText, inputOf, makeKey, signed, token } from "./keys.mjs";

export function confusionCases(verifiers, keys) {
  return [
    ...["EdDSA", "ES256", "RS256", "PS256"].flatMap((alg) => publicKeysAsSecrets(keys[alg])),
    ...weakKeys(verifiers, keys),
    ...keysWithoutAlg(verifiers, keys),
    ...otherKinds(keys),
  ];
}

// V03, X02: the public key, in every encoding an attacker might try, as the secret of an HMAC.
function publicKeysAsSecrets(key) {
  const secrets = spellings(key);
  return secrets.flatMap((secret, index) => {
    const algs = index % 8 === 0 ? SYMMETRIC : ["HS256"];
    return algs.flatMap((alg) => {
      const input = inputOf({ ...key, alg });
      const tag = createHmac(`sha${alg.slice(2)}`, secret).update(input).digest("base64url");
      const name = `spelling ${index} of a public ${key.alg} key as secret of ${alg}`;
      return [
        refused("unsupported_algorithm", key.alg, name, `${input}.${tag}`),
        refused("unsupported_algorithm", "asymmetric", name, `${input}.${tag}`),
      ];
    });
  });
}

function spellings({ jwk, secret }) {
  const publicKey = createPublicKey(secret);
  const der = publicKey.export({ format: "der", type: "spki" });
  const pem = publicKey.export({ format: "pem", type: "spki" });
  const { alg, kid, ...bare } = jwk;
  const texts = [
    pem, pem.trim(), pem.replaceAll("\n", "\r\n"), pem.replaceAll("\n", ""),
    pem.replaceAll("PUBLIC KEY", "CERTIFICATE"), pem.replaceAll("PUBLIC", "RSA PUBLIC"),
    pem.replace(/-----[^-]+-----\n/g, ""), JSON.stringify(jwk), JSON.stringify(jwk, null, 2),
    JSON.stringify({ keys: [jwk] }), JSON.stringify(bare), der.toString("base64"), base64url(der),
    der.toString("hex"), der.toString("hex").toUpperCase(), jwk.x ?? jwk.n, kid, alg,
  ];
  const frills = [["", ""], [" ", " "], ["", "\n"], ["\ufeff", ""], ["\0", "\0"]];
  return [
    Buffer.alloc(0), der,
    ...["x", "y", "n", "e"].flatMap((name) =>
      jwk[name] ? [Buffer.from(jwk[name], "base64url")] : []),
    ...texts.flatMap((text) => frills.map(([before, after]) => Buffer.from(before + text + after))),
  ];
}

// V04, X03, X04, X24: keys in a set that must not load, although each has signed the token.
function weakKeys(verifiers, keys) {
  const good = keys.EdDSA;
  const made = (alg, kid, change = {}, pair = undefined) => {
    const key = makeKey(alg, kid, pair);
    return { ...key, jwk: { ...key.jwk, ...change } };
  };
  const small = generateKeyPairSync("rsa", { modulusLength: 1024 });
  const ecdsa = makeKey("ES256", "private");
  const bad = [
    made("RS256", "no alg", { alg: undefined }), made("ES256", "use enc", { use: "enc" }),
    made("ES256", "for signing", { key_ops: ["sign"] }),
    made("ES256", "key_ops", { key_ops: "verify" }),
    made("ES256", "alg of another curve", { crv: "P-384" }),
    made("ES256", "off the curve", { y: base64url(randomBytes(32)) }),
    made("EdDSA", "a type of another alg", { kty: "EC" }), made("RS256", "short", {}, small),
    made("PS256", "short too", {}, small), made("RS256", "exponent 1", { e: "AQ" }),
    { ...ecdsa, jwk: { ...ecdsa.secret.export({ format: "jwk" }), alg: "ES256", kid: "private" } },
  ].map((key) => ({ ...key, forged: token(key) }));
  // A key of small order "signs" everything: its equation needs no secret.
  const torsion = TORSION.map((point, order) => weakEdKey(`torsion ${order}`, compress(point)));
  const set = [good.jwk, ...bad.map(({ jwk }) => jwk), ...torsion.map(({ jwk }) => jwk)];
  verifiers.add("weak keys", set, { algorithms: ["EdDSA", "ES256", "RS256", "PS256"] });
  const empty = { kty: "oct", alg: "HS256", kid: "empty", k: "" };
  const input = inputOf(empty);
  const forged = `${input}.${createHmac("sha256", "").update(input).digest("base64url")}`;
  verifiers.add("an empty secret", [keys.HS256.jwk, empty], { algorithms: SYMMETRIC });
  const more = (kid) => {
    if (kid.startsWith("torsion")) return { jose: "a key of small order" };
    return kid === "no alg" ? { jose: "a key without alg" } : {};
  };
  return [
    valid("weak keys", "the good key of a set with bad ones", token(good)),
    ...[...bad, ...torsion].map(({ kid, forged }) =>
      refused("unknown_key", "weak keys", `signed with a key that must not load: ${kid}`, forged,
        more(kid))),
    refused("unknown_key", "an empty secret", "the empty secret", forged),
    valid("an empty secret", "the good secret next to an empty one", token(keys.HS256)),
    ...mixedOrder(verifiers),
  ];
}

// I01: the issuer's list of algorithms applies to keys without alg, on every verification path.
function keysWithoutAlg(verifiers, keys) {
  const of = [keys.EdDSA, keys.ES256, keys.PS256];
  const jwks = of.map(({ jwk: { alg, ...jwk } }) => jwk);
  const verifier = "keys without alg";
  verifiers.add(verifier, jwks, { algorithms: of.map(({ alg }) => alg) });
  const other = { ...keys.PS256, alg: "PS512" };
  return [
    ...of.map((key) => valid(verifier, `signed with ${key.alg}`, token(key))),
    refused("unsupported_algorithm", verifier, "the token says another algorithm", token(other)),
  ];
}

function weakEdKey(kid, x) {
  const jwk = { kty: "OKP", crv: "Ed25519", x: base64url(x), alg: "EdDSA", kid };
  const input = inputOf(jwk);
  const signature = forge({ scalar: 0n, A: x }, input, { fits: isMultiple });
  return { kid, jwk, forged: `${input}.${base64url(signature)}` };
}

// V15, X07: a key with a component of small order loads; a signature is valid if the equation holds
// without the cofactor, where implementations differ (ePrint 2020/1244).
function mixedOrder(verifiers) {
  const scalar = 1n + BigInt(`0x${randomBytes(30).toString("hex")}`);
  const A = compress(addPoints(multiplyBase(scalar), TORSION[1]));
  const jwk = { kty: "OKP", crv: "Ed25519", x: base64url(A), alg: "EdDSA", kid: "mixed" };
  verifiers.add("a key of mixed order", [jwk], { algorithms: ["EdDSA"] });
  const input = inputOf(jwk);
  const signedWith = (how) => `${input}.${base64url(forge({ scalar, A }, input, how))}`;
  const verifier = "a key of mixed order";
  return [
    valid(verifier, "the equation holds without the cofactor", signedWith({ fits: isMultiple })),
    refused("bad_signature", verifier, "it holds with the cofactor only",
      signedWith({ fits: (k) => !isMultiple(k) })),
    valid(verifier, "R has the component that A brings", signedWith({ torsion: TORSION[1] })),
  ];
}

// X19, X25: tokens that the right key has signed and that are not access tokens.
function otherKinds(keys) {
  const key = keys.EdDSA;
  const nested = token(key);
  const jwe = ["iv", "text", "tag"].map(base64url).join(".");
  const typed = (typ) =>
    refused("wrong_type", "EdDSA", `a token of type ${typ}`, token(key, {}, { typ }));
  return [
    ...["JWT", "refresh+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "id+jwt", "jwt", "at",
      "at+jw", "at+jwtx"].map(typed),
    refused("malformed", "EdDSA", "a token in a token",
      compact(key, headerText(key, { cty: "JWT" }), nested)),
    refused("malformed", "EdDSA", "a token as payload", compact(key, headerText(key), nested)),
    refused("wrong_audience", "EdDSA", "an ID token's audience", token(key, { aud: "client" })),
    refused("wrong_issuer", "EdDSA", "another issuer", token(key, { iss: `${ISSUER}/` })),
    refused("malformed", "EdDSA", "a JWE",
      `${base64url(headerText(key, { alg: "dir", enc: "A256GCM" }))}..${jwe}`),
    refused("malformed", "EdDSA", "a snapshot's bytes",
      signed(key, `${base64url("OFSW")}.${base64url("OFSW")}`)),
    refused("expired", "EdDSA", "an old one", token(key, { exp: NOW - 1000 })),
  ];
}

/** A multiple of 8 removes the part of small order from the equation. */
const isMultiple = (k) => k % 8n === 0n;
