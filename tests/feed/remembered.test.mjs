// A verifier remembers that a token's signature is valid, never its verdict.

import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import { Verifier } from "offswitch";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { optionsOf, verifierOf } from "../support/feed.mjs";
import { ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 2, to: 3, sessions: ["session"] },
  { from: 2, to: 3, users: [{ sub: "user", minimum_version: 2, not_before: 0 }] },
  { from: 2, to: 3, dead_keys: [{ issuer: ISSUER, kid: key.kid }] },
  { from: 2, to: 3, epoch: now() },
  { era: 2, to: 1, salt: 6, tokens: ["token"] },
  { from: 2, to: 3, claims: [{ claims: { client_id: "app", "/act/sub": "agent" } }] },
]);
const [base, byToken, bySession, byUser, byKey, byEpoch, nextEra, byClaims] = snapshots;
const good = await mint(key);
const other = await mint(key, { jti: "other", sid: "another" });
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
after(stub.close);
const parts = { key, publicKey, url: `${stub.url}/feed` };
const userRule = "version_else_issued_at";

/** How often wasm read a token as a whole. */
let read = 0;
const { verify } = WasmVerifier.prototype;
WasmVerifier.prototype.verify = function counted(...args) {
  read += 1;
  return verify.apply(this, args);
};
beforeEach(() => {
  read = 0;
});

function start(more = {}) {
  const { time, verifier } = verifierOf(parts, { userRule, ...more });
  verifier.apply(base);
  return { time, verifier, code: (token) => verifier.verifySync(token).code };
}

// V17: the shortcut exists, for both calls.
test("a token that was valid is not read again", async () => {
  const { code, verifier } = start();
  for (let times = 0; times < 5; times += 1) assert.equal(code(good), "valid");
  assert.equal((await verifier.verify(good)).code, "valid");
  assert.equal(read, 1);
  assert.equal((await verifier.verify(other)).code, "valid");
  assert.equal(code(other), "valid");
  assert.equal(read, 2);
});

// V17, V06: a remembered token must be equal in every byte.
test("a remembered token with one character changed anywhere is not accepted", async () => {
  const { code, verifier } = start();
  assert.equal(code(good), "valid");
  const characters = ["A", "B", "_", "w", ".", "=", " ", "\0", "\u0100", "\ud800"];
  for (let at = 0; at < good.length; at += 1) {
    const near = String.fromCharCode(good.charCodeAt(at) ^ 1);
    for (const character of [...characters, near, "", good[at] + good[at]]) {
      const changed = good.slice(0, at) + character + good.slice(at + 1);
      if (changed === good) continue;
      const verdict = verifier.verifySync(changed);
      assert.equal(verdict.outcome, "refused", `${JSON.stringify(character)} at ${at}`);
      assert.equal(verdict.claims, undefined);
    }
    const lost = good.slice(0, at);
    assert.equal((await verifier.verify(lost)).outcome, "refused", `cut at ${at}`);
  }
  for (const changed of [`${good} `, ` ${good}`, `${good}\n`, good.toUpperCase(), `${good}.`]) {
    assert.equal(code(changed), "malformed");
  }
  read = 0;
  assert.equal(code(good), "valid");
  assert.equal(read, 0, "it is still remembered");
});

// V17: each verifier remembers under its own rules.
test("verifiers with different audiences share nothing", async () => {
  for (const order of [["api", "web"], ["web", "api"]]) {
    const verifiers = order.map((audience) => start({ audience }));
    for (let times = 0; times < 3; times += 1) {
      for (const [at, { code, verifier }] of verifiers.entries()) {
        const expected = order[at] === "api" ? "valid" : "wrong_audience";
        assert.equal(code(good), expected);
        assert.equal((await verifier.verify(good)).code, expected);
      }
    }
  }
});

for (const [code, delta] of Object.entries({
  revoked_token: byToken, revoked_session: bySession, revoked_user: byUser, revoked_key: byKey,
  revoked_epoch: byEpoch,
})) {
  // V17, R-rows: the second verdict uses everything that the feed has sent since the first.
  test(`a token that was valid is refused with ${code} once it is revoked`, async () => {
    const at = start();
    assert.equal(at.code(good), "valid");
    assert.deepEqual(at.verifier.apply(delta), { applied: "extended" });
    assert.equal(at.code(good), code);
    assert.equal((await at.verifier.verify(good)).code, code);
    assert.equal(read, 1, "and it is not read again");
  });
}

// V17: a selector that came after the token was read must still be looked up in the token.
test("a token that was valid is refused by a selector that a delta brings", async () => {
  const { code, verifier } = start();
  const hit = await mint(key, { client_id: "app", act: { sub: "agent" } });
  const missed = await mint(key, { client_id: "app", act: { sub: "other" } });
  assert.deepEqual([code(hit), code(missed), code(good)], ["valid", "valid", "valid"]);
  assert.deepEqual(verifier.apply(byClaims), { applied: "extended" });
  for (let times = 0; times < 3; times += 1) {
    assert.deepEqual([code(hit), code(missed), code(good)], ["revoked_claims", "valid", "valid"]);
    assert.equal((await verifier.verify(hit)).code, "revoked_claims");
  }
});

// V17, V10: to the second.
test("a token that was valid expires", async () => {
  const exp = now() + 300;
  const token = await mint(key, { exp });
  let time = exp - 1;
  const { code } = start({ clock: () => time });
  for (const [at, expected] of [
    [exp - 1, "valid"], [exp + 29.9, "valid"], [exp + 30, "expired"], [exp + 29, "valid"],
    [exp - 500, "clock_skew"], [exp + 1e6, "expired"], [exp, "valid"],
  ]) {
    time = at;
    assert.equal(code(token), expected, `${at - exp} s after exp`);
  }
  assert.equal(read, 1);
});

// V17: when the feed becomes stale, a valid token becomes undecided.
test("a token that was valid is undecided once the feed is stale", async () => {
  const { code, time, verifier } = start();
  const long = await mint(key, { exp: now() + 3600 });
  assert.equal(code(long), "valid");
  time.ahead = 620;
  assert.equal(code(other.slice(0, -1)), "malformed");
  assert.equal(verifier.verifySync(long, { onStale: "allow" }).code, "valid");
  assert.equal(verifier.verifySync(long).code, "stale_snapshot");
  assert.equal(verifier.verifySync(long, { maxStaleness: 700 }).code, "stale_snapshot");
});

// V17: the memory belongs to the key set; the same name for another key is another key.
test("a token is forgotten when its issuer's keys are replaced", async () => {
  const { code, verifier } = start({ keys: `${stub.url}/jwks` });
  await verifier.refreshKeys();
  assert.equal(code(good), "valid");
  stub.jwks = { keys: [(await signingKey("EdDSA", key.kid)).jwk] };
  await verifier.refreshKeys();
  assert.equal(code(good), "bad_signature");
  assert.equal((await verifier.verify(good)).code, "bad_signature");
  stub.jwks = { keys: [(await signingKey("EdDSA", "another")).jwk] };
  await verifier.refreshKeys();
  assert.equal(code(good), "unknown_key");
  stub.jwks = { keys: [key.jwk] };
  await verifier.refreshKeys();
  assert.equal(code(good), "valid");
});

// V17: fingerprints under one salt have no meaning under another.
test("a new era with a new salt judges remembered tokens again", () => {
  const { code, verifier } = start();
  assert.deepEqual([code(good), code(other)], ["valid", "valid"]);
  assert.deepEqual(verifier.apply(nextEra), { applied: "replaced" });
  assert.deepEqual([code(good), code(other)], ["revoked_token", "valid"]);
  assert.deepEqual([code(good), code(other)], ["revoked_token", "valid"]);
});

// V17: all verdicts share one claims object, so no caller may change it.
test("the claims are shared and frozen in depth", async () => {
  const own = { list: [{ deep: [1] }], object: { a: { b: {} } }, text: "x" };
  const token = await mint(key, { ...own, aud: ["api", "web"] });
  const hostile = await mint(key, JSON.parse('{"jti":"p","__proto__":{"isAdmin":true}}'));
  const { verifier } = start();
  const verdicts = [verifier.verifySync(token), verifier.verifySync(token)];
  verdicts.push(await verifier.verify(token));
  for (const { claims } of verdicts) assert.equal(claims, verdicts[0].claims);
  assert.notEqual(verdicts[0], verdicts[1], "the verdicts are not shared");
  const check = (value) => {
    assert.ok(Object.isFrozen(value), JSON.stringify(value));
    for (const one of Object.values(value)) if (typeof one === "object" && one) check(one);
  };
  check(verdicts[0].claims);
  assert.ok(Object.isFrozen(verdicts[0].evidence));
  assert.throws(() => verdicts[0].claims.list[0].deep.push(2), TypeError);
  assert.throws(() => { verdicts[0].claims.sub = "root"; }, TypeError);
  const { claims } = verifier.verifySync(hostile);
  assert.equal(claims.isAdmin, undefined);
  assert.equal({}.isAdmin, undefined);
});

// V17: an attacker who sends invalid tokens neither fills the memory nor displaces other tokens.
test("refused tokens are read each time and displace nothing", async () => {
  const { code, verifier } = start({ rememberedTokens: 2 });
  verifier.apply(bySession);
  const kept = [other, await mint(key, { jti: "third", sid: "third" })];
  for (const token of kept) assert.equal(code(token), "valid");
  const refused = [
    await mint(key, { exp: 1 }), await mint(key, { aud: "web" }), good, "nonsense",
    `${good.slice(0, -6)}AAAAAA`, await mint(await signingKey("EdDSA", "stranger")),
  ];
  for (let times = 0; times < 20; times += 1) {
    for (const token of refused) assert.notEqual(code(token), "valid");
  }
  assert.equal(read, 2 + 20 * refused.length);
  read = 0;
  for (const token of kept) assert.equal(code(token), "valid");
  assert.equal(read, 0);
});

// V17: zero is a valid number of tokens.
test("a verifier with rememberedTokens 0 reads each token each time", () => {
  const { code } = start({ rememberedTokens: 0 });
  for (let times = 0; times < 3; times += 1) assert.equal(code(good), "valid");
  assert.equal(read, 3);
});

// V17: the rules of a closed verifier do not apply to the next one.
test("a closed verifier leaves nothing behind for the next", async () => {
  const first = start();
  assert.equal(first.code(good), "valid");
  first.verifier.close();
  assert.throws(() => first.code(good), /closed/);
  const options = optionsOf(parts, { audience: "web" });
  const next = new Verifier(options);
  next.apply(base);
  assert.equal(next.verifySync(good).code, "wrong_audience");
});
