// Several issuers in one verifier: the key that fits names the issuer, and nothing in a token does.

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
      return from === to ? valid(name, what, text) : refused("wrong_issuer", name, what, text);
    })),
    ...[...ISSUERS, "https://attacker.test"].map((iss) =>
      refused("bad_signature", name, `${name}: a stranger who says ${iss}`,
        token(stranger, { iss }))),
    refused("unknown_key", name, `${name}: another kid`,
      token(rename(keys[1], { kid: "nobody's" }), { iss: ISSUERS[1] })),
  ];
}

// A signature that was found good tells the most, whichever of the keys of one name it is of.
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

// X02: HMAC beside signatures, each for an issuer of its own.
function mixed(verifiers, a) {
  const secret = makeKey("HS256", "shared");
  const name = add(verifiers, "HMAC beside EdDSA", [a, secret]);
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

// Each issuer has rules of its own; a key counts only where its algorithm does.
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
