// Several issuers in one verifier: the key of the signature determines the issuer, no content of a token does.

import { createHmac } from "node:crypto";
import { AUDIENCE, ISSUER } from "../../support/fixture.mjs";
import { refused, valid } from "./expected.mjs";
import {
  base64url, claimsText, headerText, inputOf, makeKey, rename, signed, token,
} from "./keys.mjs";

const ISSUERS = [ISSUER, "https://second.test", "https://third.test"];

// V11
export function issuerCases(verifiers, keys) {
  const shared = (key) => rename(key, { kid: "shared" });
  const [a, b, c] = ["EdDSA", "EdDSA", "ES256"].map((alg) => makeKey(alg, "shared"));
  const large = shared(keys.others.find(({ kid }) => kid === "rsa-3072"));
  const [small, other] = [shared(keys.RS256), shared(rename(keys.PS256, { alg: "RS256" }))];
  return [
    ...everyone(verifiers, "one kid", [a, b, c]),
    ...everyone(verifiers, "one kid, RSA", [small, other, large]),
    ...everyone(verifiers, "one kid, RSA of several sizes", [small, large, other]),
    ...everyone(verifiers, "one kid, RSA, largest first", [large, small, other]),
    ...everyone(verifiers, "one kid, three algorithms", [keys.ES256, small, a].map(shared)),
    ...everyone(verifiers, "a kid each",
      [a, b, c].map((key, at) => rename(key, { kid: `own-${at}` }))),
    ...everyone(verifiers, "ES256 with one kid",
      [makeKey("ES256", "shared"), c, makeKey("ES256", "shared")]),
    ...payloads(verifiers, [a, b]),
    ...mixed(verifiers, a),
    ...rules(verifiers, a, b, c),
    ...rotated(verifiers),
    ...oneKey(verifiers, [keys.EdDSA, keys.ES256, keys.RS256, keys.PS256]),
    ...nameless(verifiers, [a, b, c]),
  ];
}

// D102: an issuer has rotated to a key whose kid another issuer's key has too. The issuer that the
// token names does not have it, so the key is unknown, even if others have it.
function rotated(verifiers) {
  return ["EdDSA", "ES256", "RS256"].flatMap((alg) => {
    const [old, next] = [makeKey(alg, "old"), makeKey(alg, "new")];
    return ["EdDSA", "ES256", "RS256"].flatMap((other) => {
      const name = add(verifiers, `${alg} rotated to a kid of ${other}`,
        [old, makeKey(other, "new"), makeKey(other, "new")]);
      const code = other === alg ? "bad_signature" : "unsupported_algorithm";
      return [
        valid(name, `${name}: the key before`, token(old, { iss: ISSUERS[0] })),
        refused("unknown_key", name, `${name}: the issuer that lacks it`,
          token(next, { iss: ISSUERS[0] })),
        ...[ISSUERS[1], ISSUERS[2], "https://attacker.test"].map((iss) =>
          refused(code, name, `${name}: ${iss}`, token(next, { iss }))),
      ];
    });
  });
}

// I03, D07: issuers that publish the same key. The rules of the issuer in the token apply, in any order.
function oneKey(verifiers, keys) {
  return keys.flatMap((key) => [[0, 1], [1, 0], [0, 1, 2], [2, 1, 0], [1, 2, 0]].flatMap((order) => {
    const name = `${key.alg} of issuers ${order}`;
    const issuers = order.map((at) => ({ issuer: ISSUERS[at], audience: `of ${at}`,
      algorithms: [key.alg], keys: { keys: [key.jwk] } }));
    verifiers.add(name, [], { issuers });
    const stranger = makeKey(key.alg, key.kid);
    return [
      ...order.flatMap((at) => [
        valid(name, `${name}: ${at}`, token(key, { iss: ISSUERS[at], aud: `of ${at}` })),
        refused("wrong_audience", name, `${name}: ${at} for another`,
          token(key, { iss: ISSUERS[at], aud: `of ${(at + 1) % 3}` })),
        refused("bad_signature", name, `${name}: a stranger who says ${at}`,
          token(stranger, { iss: ISSUERS[at], aud: `of ${at}` })),
      ]),
      refused("wrong_issuer", name, `${name}: another`, token(key, { iss: "https://no.test" })),
      refused("wrong_issuer", name, `${name}: none`, token(key, { iss: undefined })),
    ];
  }));
}

// D39: a token without kid uses an issuer's only key of its algorithm.
function nameless(verifiers, [a, b, c]) {
  const without = (key, iss) => token({ ...key, kid: undefined }, { iss });
  const lone = add(verifiers, "lone keys", [a, c]);
  const both = verifiers.add("two of a kind",
    [a, rename(b, { kid: "other" }), rename(c, { kid: "third" })].map(({ jwk }) => jwk));
  return [
    valid(lone, "no kid, the only EdDSA key", without(a, ISSUERS[0])),
    valid(lone, "no kid, the only ES256 key", without(c, ISSUERS[1])),
    refused("unknown_key", lone, "no kid, the other issuer's name", without(a, ISSUERS[1])),
    refused("bad_signature", lone, "no kid, a stranger's signature", without(b, ISSUERS[0])),
    refused("unknown_key", both, "no kid, two EdDSA keys", without(a, ISSUERS[0])),
    valid(both, "no kid, one ES256 key", without(c, ISSUERS[0])),
  ];
}

function add(verifiers, name, keys, more = []) {
  const issuers = keys.map((key, at) => ({
    issuer: ISSUERS[at], audience: AUDIENCE, algorithms: [key.alg], keys: { keys: [key.jwk] },
    ...more[at],
  }));
  return verifiers.add(name, [], { issuers });
}

/** Each issuer's key with each issuer's name. */
function everyone(verifiers, name, keys) {
  add(verifiers, name, keys);
  const stranger = { ...makeKey(keys[0].alg, keys[0].kid), kid: keys[0].kid };
  return [
    ...keys.flatMap((key, from) => ISSUERS.map((iss, to) => {
      const text = token(key, { iss });
      const what = `${name}: the key of issuer ${from} and the name of issuer ${to}`;
      if (from === to) return valid(name, what, text);
      // The issuer lacks a key of that name, but may have just published it.
      const isKnown = keys[to].kid === key.kid;
      return refused(isKnown ? "wrong_issuer" : "unknown_key", name, what, text);
    })),
    ...[...ISSUERS, "https://attacker.test"].map((iss, at) => {
      const isKnown = (keys[at]?.kid ?? stranger.kid) === stranger.kid;
      return refused(isKnown ? "bad_signature" : "unknown_key", name,
        `${name}: a stranger who says ${iss}`, token(stranger, { iss }));
    }),
    refused("unknown_key", name, `${name}: another kid`,
      token(rename(keys[1], { kid: "unlisted" }), { iss: ISSUERS[1] })),
  ];
}

// If several keys have the name, the verdict on the one with a valid signature is reported.
function payloads(verifiers, [a, b]) {
  return [["first", [a, b]], ["second", [b, a]]].flatMap(([place, keys]) => {
    const name = add(verifiers, `one kid, the signer is ${place}`, keys);
    const iss = ISSUERS[keys.indexOf(a)];
    const header = base64url(headerText(a));
    const good = base64url(claimsText({ iss }));
    return [
      valid(name, `the signer is the ${place}`, signed(a, `${header}.${good}`)),
      refused("malformed", name, `the signer is the ${place}, the payload is padded`,
        signed(a, `${header}.${good}=`), { jose: "base64url" }),
      refused("malformed", name, `the signer is the ${place}, the payload is text`,
        signed(a, `${header}.${base64url("foo")}`)),
      refused("malformed", name, `the signer is the ${place}, the payload is no base64url`,
        signed(a, `${header}.***`)),
      refused("bad_signature", name, "a stranger's payload is no base64url",
        `${header}.***.${base64url(Buffer.alloc(64, 1))}`),
    ];
  });
}

// X02: HMAC and signatures in one verifier, each for its own issuer.
function mixed(verifiers, a) {
  const secret = makeKey("HS256", "shared");
  const name = add(verifiers, "HMAC and EdDSA", [a, secret]);
  const byPublicKey = (iss) => {
    const input = inputOf(secret, { iss });
    const tag = createHmac("sha256", Buffer.from(a.jwk.x, "base64url")).update(input).digest();
    return `${input}.${base64url(tag)}`;
  };
  return [
    valid(name, "the secret's issuer", token(secret, { iss: ISSUERS[1] })),
    refused("wrong_issuer", name, "the secret for the other issuer",
      token(secret, { iss: ISSUERS[0] })),
    valid(name, "the key's issuer", token(a, { iss: ISSUERS[0] })),
    ...ISSUERS.map((iss) =>
      refused("bad_signature", name, `a public key as the secret for ${iss}`, byPublicKey(iss))),
  ];
}

// Each issuer has its own rules; a key counts only if its issuer allows the algorithm.
function rules(verifiers, a, b, c) {
  const name = add(verifiers, "rules of their own", [a, b, c], [
    { audience: "first", leewaySeconds: 0 }, { audience: "unchecked", types: [null] },
    { requiredClaims: ["exp", "sid"], algorithms: ["ES256", "RS256"] },
  ]);
  const closed = add(verifiers, "an algorithm that is closed", [a, b], [{ algorithms: ["ES256"] }]);
  const [one, two, three] = ISSUERS;
  return [
    valid(name, "the first's audience", token(a, { iss: one, aud: "first" })),
    refused("wrong_audience", name, "the second's audience at the first", token(a, { iss: one })),
    valid(name, "no audience and no type at the second",
      token(b, { iss: two, aud: undefined }, { typ: undefined })),
    refused("wrong_type", name, "the first's type at the second", token(b, { iss: two })),
    refused("wrong_type", name, "no type at the first",
      token(a, { iss: one, aud: "first" }, { typ: undefined })),
    valid(name, "neither sub nor jti at the third",
      token(c, { iss: three, sub: undefined, jti: undefined })),
    refused("missing_claim", name, "neither sub nor jti at the first",
      token(a, { iss: one, aud: "first", sub: undefined, jti: undefined })),
    refused("missing_claim", name, "no session at the third",
      token(c, { iss: three, sid: undefined })),
    refused("bad_signature", closed, "the key of the issuer that takes ES256 only",
      token(a, { iss: one })),
    valid(closed, "the other key of that name", token(b, { iss: two })),
    refused("wrong_issuer", closed, "the other key for the first issuer", token(b, { iss: one })),
  ];
}
