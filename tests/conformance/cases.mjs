// Makes the cases: tokens by an independent implementation, each with the verdict it must get.

import { AUDIENCE, ISSUER, mint as mintNow, sign, signingKey } from "../support/fixture.mjs";

const ALGORITHMS = ["EdDSA", "ES256", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
  "HS256", "HS384", "HS512"];
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** When it is in all cases, in unix seconds: no machine is so slow that a verdict changes. */
const NOW = 1_800_000_000;

export async function makeCases() {
  const fresh = { issued_at: NOW, valid_until: NOW + 60 };
  const { publicKey, snapshots } = sign([
    { ...fresh, to: 1 },
    { ...fresh, to: 2, tokens: ["gone"], sessions: ["left"], users: [
      { sub: "out", minimum_version: 5, not_before: NOW - 5 },
    ], dead_keys: [{ issuer: ISSUER, kid: "dead" }] },
    { ...fresh, to: 3, epoch: NOW - 5 },
    { to: 1, issued_at: NOW - 500, valid_until: NOW - 400 },
    { ...fresh, to: 1, history: "fork" },
  ]);
  const [good, revoking, epoch, stale, fork] = snapshots.map((bytes) => bytes.toString("base64"));
  const keys = Object.fromEntries(
    await Promise.all(ALGORITHMS.map(async (alg) => [alg, await signingKey(alg)])),
  );
  const dead = await signingKey("EdDSA", "dead");
  const stranger = await signingKey("EdDSA", "stranger");
  const verifiers = {};
  const add = (name, algorithms, jwks, applied, more = {}) => {
    verifiers[name] = {
      now: NOW,
      options: {
        issuer: ISSUER, audience: AUDIENCE, algorithms, keys: { keys: jwks },
        userRule: "version_else_issued_at", ...more,
        feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey] },
      },
      snapshots: applied,
    };
  };
  for (const alg of ALGORITHMS) add(alg, [alg], [keys[alg].jwk], [good]);
  const pair = [keys.EdDSA.jwk, keys.ES256.jwk, dead.jwk];
  const both = ["EdDSA", "ES256"];
  add("revoking", both, pair, [good, revoking]);
  // The default for an issuer that the feed is not named after.
  add("by time", both, pair, [good, revoking], { userRule: undefined });
  add("epoch", both, pair, [good, epoch]);
  add("nothing", both, pair, []);
  add("stale", both, pair, [stale]);
  add("fork", both, pair, [good, fork]);
  return { verifiers, cases: [
    ...(await valid(keys)),
    ...(await refused(keys.EdDSA, keys.ES256, stranger)),
    ...(await revoked(keys.EdDSA, dead)),
    ...(await mutated(keys)),
  ] };
}

const mint = (key, claims, header) =>
  mintNow(key, { iat: NOW - 10, exp: NOW + 600, ...claims }, header);

async function valid(keys) {
  const cases = [];
  for (const alg of ALGORITHMS) {
    const token = await mint(keys[alg]);
    const name = `a good ${alg} token`;
    cases.push({ name, verifier: alg, token, outcome: "valid", code: "valid" });
    cases.push({ name: `${name}, later`, verifier: alg, token, at: 629 - 600, outcome: "valid" });
    const code = { nothing: "no_snapshot", stale: "stale_snapshot", fork: "feed_fork" };
    if (alg !== "EdDSA" && alg !== "ES256") continue;
    for (const [verifier, expected] of Object.entries(code)) {
      cases.push({ name, verifier, token, outcome: "undecided", code: expected });
    }
  }
  return cases;
}

async function refused(eddsa, es256, stranger) {
  const refuse = async (code, name, token, more) =>
    ({ name, verifier: "EdDSA", token: await token, outcome: "refused", code, ...more });
  const good = await mint(eddsa);
  const [header, payload, signature] = good.split(".");
  const raw = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const forged = (head) => `${raw(head)}.${payload}.${signature}`;
  return Promise.all([
    refuse("expired", "expired", mint(eddsa, { exp: NOW - 60 })),
    refuse("expired", "expired by then", good, { at: 640 }),
    refuse("not_yet_valid", "nbf to come", mint(eddsa, { nbf: NOW + 100 })),
    refuse("not_yet_valid", "iat to come", mint(eddsa, { iat: NOW + 100 })),
    refuse("wrong_issuer", "iss of another", mint(eddsa, { iss: "https://other.test" })),
    refuse("wrong_audience", "aud of another", mint(eddsa, { aud: ["other"] })),
    refuse("wrong_type", "an ID token", mint(eddsa, {}, { typ: "JWT" })),
    refuse("wrong_type", "no typ", mint(eddsa, {}, { typ: undefined })),
    ...["exp", "iat", "sub", "jti"].map((claim) =>
      refuse("missing_claim", `no ${claim}`, mint(eddsa, { [claim]: undefined }))),
    ...["exp", "iat", "sub", "jti", "sid", "ver", "aud", "iss"].map((claim) =>
      refuse("malformed", `${claim} is null`, mint(eddsa, { [claim]: null }))),
    refuse("unknown_key", "a stranger's key", mint(stranger)),
    refuse("unknown_key", "a key of another verifier", mint(es256)),
    refuse("bad_signature", "a stranger under our kid", mint({ ...stranger, kid: eddsa.kid })),
    refuse("unsupported_algorithm", "alg none", forged({ alg: "none", kid: eddsa.kid })),
    refuse("unsupported_algorithm", "another alg", forged({ alg: "HS256", kid: eddsa.kid })),
    refuse("malformed", "crit", forged({ alg: "EdDSA", kid: eddsa.kid, crit: ["x"], x: 1 })),
    refuse("malformed", "jwk", forged({ alg: "EdDSA", kid: eddsa.kid, jwk: eddsa.jwk })),
    ...["", ".", "..", "a.b", "a.b.c.d.e", `${good}.`, `${good}=`, ` ${good}`, `${good}\n`,
      `${header}..${signature}`.repeat(400), "{}", "\0", "🗝.🗝.🗝", "x".repeat(20_000)]
      .map((token) => refuse("malformed", `not a token: ${token.slice(0, 12)}`, token)),
  ]);
}

async function revoked(eddsa, dead) {
  const refuse = async (code, claims, more = {}) => ({
    name: code, verifier: "revoking", token: await mint(more.key ?? eddsa, claims),
    outcome: "refused", code, ...more, key: undefined,
  });
  return Promise.all([
    refuse("revoked_token", { jti: "gone" }),
    refuse("revoked_session", { sid: "left" }),
    refuse("revoked_user", { sub: "out", ver: 4 }),
    refuse("valid", { sub: "out", ver: 5 }, { outcome: "valid" }),
    refuse("revoked_user", { sub: "out", ver: undefined }),
    refuse("revoked_user", { sub: "out", ver: 9 }, { verifier: "by time" }),
    refuse("valid", { sub: "out", iat: NOW }, { verifier: "by time", outcome: "valid" }),
    refuse("revoked_key", {}, { key: dead }),
    refuse("revoked_epoch", {}, { verifier: "epoch" }),
    refuse("valid", { iat: NOW }, { verifier: "epoch", outcome: "valid" }),
    refuse("valid", {}, { outcome: "valid" }),
  ]);
}

/** One character changed at each place of a token of each kind: never valid, never undecided. */
async function mutated(keys) {
  const cases = [];
  for (const alg of ["EdDSA", "ES256", "RS256", "PS256", "HS256"]) {
    const token = await mint(keys[alg]);
    for (let place = 0; place < token.length; place += 1) {
      const next = ALPHABET[(ALPHABET.indexOf(token[place]) + 1) % ALPHABET.length];
      const changed = token.slice(0, place) + next + token.slice(place + 1);
      cases.push({ name: `${alg} changed at ${place}`, verifier: alg, token: changed, outcome: "refused" });
    }
  }
  return cases;
}
