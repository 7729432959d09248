// jose, an implementation that shares no code with ours, judges the cases: it must accept the valid
// tokens and no others, with the listed exceptions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createLocalJWKSet, decodeProtectedHeader, importJWK, jwtVerify } from "jose";
import { theCases } from "./expect.mjs";

/** Features that jose lacks: jose accepts a token that only these rules refuse. */
const ABOUT_THE_FEED = ["clock_skew", "feed_fork", "no_snapshot", "stale_snapshot",
  "revoked_claims", "revoked_epoch", "revoked_key", "revoked_session", "revoked_token", "revoked_user"];

/** Checks that jose leaves to the host; some versions of OpenSSL are as strict as we are. */
const BY_THE_HOST = {
  "R of small order": "OpenSSL is content with the equation",
  "a key of small order": "such keys need no secret; OpenSSL imports them",
  "a leading zero": "OpenSSL takes a PSS signature that is shorter than the modulus",
};

/** Why jose may judge a case differently; cases name their reason, and each reason is needed. */
const REASONS = {
  "JSON": "jose reads what JSON.parse does: half a surrogate pair, numbers beyond all bounds",
  "a cap": "jose knows no longest header and no longest token",
  "a fraction": "jose compares fractions of a second, we cut them off",
  "a header member": "jose passes over members that bring a key, an encryption or another content",
  "a key without alg": "jose lets the header's alg choose",
  "a lifetime": "jose knows no longest lifetime unless a maxTokenAge is asked for",
  "a name that appears twice": "jose takes the last of two",
  "a required value": "jose asks for the presence of claims, not for their values",
  "an empty id": "jose takes an empty string for an id",
  "base64url": "jose reads padding, white space and stray bits",
  "depth": "jose knows no deepest nesting",
  "iat to come": "jose looks at iat only where a maxTokenAge is asked for",
  "the binding of a token": "jose takes every token as a bearer token",
  "the feed's time": "a clock that is behind is found out by the feed",
  "the length of an id": "jose revokes nothing by an id, so it may be of any length",
  "the range of a time": "jose takes every number for a time",
  "the type of a claim": "jose looks at the type of claims only where it compares them",
  "two names": "to jose EdDSA and Ed25519 are two algorithms, and the key's alg is the other one",
};

// V07, V15, V17, E11
test("jose accepts valid tokens and no others, except for listed reasons", async (context) => {
  const { verifiers, cases } = theCases();
  const named = Object.entries(verifiers).map(([name, one]) => [name, judge(one)]);
  const judges = Object.fromEntries(named);
  const [unexplained, used] = [[], {}];
  const counts = { judged: 0, accepted: 0, explained: 0 };
  for (const one of cases) {
    if (one.token === undefined) continue;
    const isGood = one.outcome === "valid" || ABOUT_THE_FEED.includes(one.code);
    const accepted = await judges[one.verifier](one);
    counts.judged += 1;
    counts.accepted += accepted ? 1 : 0;
    if (accepted === isGood) continue;
    if (!Object.hasOwn({ ...REASONS, ...BY_THE_HOST }, one.jose)) {
      unexplained.push([one.name, one.code, accepted]);
      continue;
    }
    used[one.jose] = (used[one.jose] ?? 0) + 1;
    counts.explained += 1;
  }
  assert.deepEqual(unexplained, []);
  for (const reason of Object.keys(REASONS)) assert.ok(used[reason] > 0, `${reason} explains nothing`);
  assert.ok(counts.judged >= 10_000 && counts.accepted >= 1000, JSON.stringify(counts));
  assert.ok(counts.explained <= counts.judged * 0.15, JSON.stringify(counts));
  context.diagnostic(`${JSON.stringify(counts)}, by reason ${JSON.stringify(used)}`);
});

/** The rules of each issuer as options of jose. */
function judge({ now, options }) {
  const issuers = (options.issuers ?? [options]).map((rules) => [keysOf(rules), rules]);
  return async ({ token, at = 0 }) => {
    const currentDate = new Date((now + at) * 1000);
    for (const [keys, rules] of issuers) {
      for (const how of joseOptions(rules, token)) {
        const verified = jwtVerify(token, keys, { ...how, currentDate });
        if (await verified.then(() => true, () => false)) return true;
      }
    }
    return false;
  };
}

/** The options that may accept a token, one for each accepted type. */
function joseOptions(rules, token) {
  const { issuer, audience, algorithms = ["EdDSA", "ES256"], types = ["at+jwt"] } = rules;
  const { leewaySeconds = 30 } = rules;
  const named = rules.requiredClaims;
  const requiredClaims = Array.isArray(named) ? named : ["exp", "iat", "sub", "jti"];
  const shared = {
    issuer, requiredClaims, clockTolerance: leewaySeconds,
    audience: audience === "unchecked" ? undefined : audience,
    algorithms: algorithms.flatMap((alg) => (alg === "EdDSA" ? [alg, "Ed25519"] : [alg])),
  };
  return types.flatMap((typ) =>
    (typ !== null ? [{ ...shared, typ }] : hasNoType(token) ? [shared] : []));
}

function hasNoType(token) {
  try {
    return decodeProtectedHeader(token).typ === undefined;
  } catch {
    return false;
  }
}

/** jose's own key set; jose has none for secrets, so these are looked up by their kid. */
function keysOf({ keys }) {
  if (keys.keys[0]?.kty !== "oct") return createLocalJWKSet(keys);
  return async ({ alg, kid }) => {
    const jwk = keys.keys.find((one) => one.kid === kid && one.alg === alg);
    if (jwk === undefined || jwk.k === "") throw new Error("no such secret");
    return importJWK(jwk, alg);
  };
}
