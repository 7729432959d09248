// One key has one algorithm, regardless of the header.

import { ALGORITHMS, ASYMMETRIC } from "../algorithms.mjs";
import { either, refused, valid } from "./expected.mjs";
import { base64url, claimsText, compact, headerText, rename, segments, token } from "./keys.mjs";

export function algorithmCases(verifiers, keys) {
  verifiers.add("only ES256", [keys.EdDSA.jwk, keys.ES256.jwk], { algorithms: ["ES256"] });
  return [
    ...ALGORITHMS.flatMap((alg) => good(keys[alg])),
    ...keys.others.map((key) =>
      valid("other sizes", `a good token of ${key.kid}`, token(key))),
    ...keys.secrets.map((key) => valid("secrets", `a good token of ${key.kid}`, token(key))),
    ...ALGORITHMS.flatMap((own) => ALGORITHMS.flatMap((other) => pairs(keys[own], keys[other]))),
    ...ALGORITHMS.flatMap((alg) => names(keys[alg])),
    refused("unsupported_algorithm", "only ES256", "a key of an algorithm that is not configured",
      token(keys.EdDSA)),
    valid("only ES256", "a key of one that is", token(keys.ES256)),
  ];
}

function good(key) {
  const { alg } = key;
  const wide = ASYMMETRIC.includes(alg) ? "asymmetric" : "secrets";
  return [alg, wide].flatMap((verifier) => Array.from({ length: 8 }, (_, index) =>
    valid(verifier, `good ${alg} token ${index}`, token(key, { jti: `${verifier} ${index}` }))));
}

// V02: every key with every name. RSA keys and secrets of one family are the same numbers here, so
// that only the name of the algorithm differs.
function pairs(own, other) {
  const [from, to] = [other.alg, own.alg];
  const under = rename(other, { kid: own.kid });
  const wide = ASYMMETRIC.includes(to) ? "asymmetric" : "secrets";
  const isFamily = ASYMMETRIC.includes(to) === ASYMMETRIC.includes(from);
  const [, payload] = segments(token(own));
  const relabelled = compact(under, headerText(own), Buffer.from(payload, "base64url"));
  return [
    either(from === to, "unsupported_algorithm", to, `${from} under the kid of ${to}`,
      token(under)),
    either(from === to, "unsupported_algorithm", wide, `${from} under the kid of ${to}`,
      token(under)),
    either(from === to, "bad_signature", to, `${from} that says ${to}`, relabelled),
    either(from === to, "unknown_key", to, `${from} under its own kid, at the verifier for ${to}`,
      token(other)),
    either(isFamily, "unknown_key", wide, `${from} under its own kid, at the verifier for ${wide}`,
      token(other)),
  ];
}

// V02, X01: alg none, and every value that is not exactly a name.
function names(key) {
  const { alg } = key;
  const cased = [
    alg.toLowerCase(), alg.toUpperCase(), alg.replace("S", "s"), alg.replace("d", "D"),
  ];
  const texts = [
    "none", "NONE", "noNe", "None", " none", "none\0", "", "ES224", "ES521", "ES256K", "Ed448",
    "HS1", "RS1", "A256KW", "dir", "RSA-OAEP", "HMAC", "constructor", "__proto__", `${alg} `,
    ` ${alg}`, `${alg}\0`, `${alg},none`,
    alg.replace("2", "\uff12").replace("E", "\uff25").replace("S", "\u017f"),
    ...new Set(cased.filter((name) => name !== alg)),
  ];
  const others = [null, 0, true, [alg], { alg }];
  const cases = [...texts, ...others, undefined].flatMap((name) => {
    const code = typeof name === "string" ? "unsupported_algorithm" : "malformed";
    const signed = compact(key, headerText(key, { alg: name }), claimsText());
    const [header, payload] = segments(signed);
    const label = `alg ${JSON.stringify(name)} for a key of ${alg}`;
    return [
      refused(code, alg, label, signed),
      refused(code, alg, `${label}, without a signature`, `${header}.${payload}.`),
      refused(code, alg, `${label}, with an empty tag`, `${header}.${payload}.${base64url("\0")}`),
    ];
  });
  // RFC 9864's name for the same algorithm.
  const other = compact(key, headerText(key, { alg: "Ed25519" }), claimsText());
  if (alg === "EdDSA") {
    cases.push(valid(alg, "EdDSA named Ed25519", other, { jose: "two names" }));
  }
  return cases;
}
