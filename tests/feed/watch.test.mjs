// onRevoked: the watcher of a token is called when the token is no longer valid.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { until, verifierOf } from "../support/feed.mjs";
import { ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { json, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const epoch = now();
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 2, to: 3, sessions: ["session"] },
  { from: 2, to: 3, users: [{ sub: "user", minimum_version: 2, not_before: 0 }] },
  { from: 2, to: 3, dead_keys: [{ issuer: ISSUER, kid: key.kid }] },
  { from: 2, to: 3, epoch },
  { from: 2, to: 2 },
  { from: 3, to: 4, tokens: ["other"] },
  { to: 2, history: "fork" },
  { from: 3, to: 3 },
]);
const [base, byToken, bySession, byUser, byKey, byEpoch, heartbeat, another, fork] = snapshots;
const nextHeartbeat = snapshots[9];
const exp = epoch + 3600;
const good = await mint(key, { exp });
const other = await mint(key, { jti: "other", sid: "other", sub: "other", iat: epoch, exp });
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
after(stub.close);
const parts = { key, publicKey, url: `${stub.url}/feed` };

/** A verifier with a base, and a list of the calls to its watchers. */
function start(more = {}, feed = {}) {
  const rule = { userRule: "version_else_issued_at" };
  const { time, verifier } = verifierOf(parts, { ...rule, ...more }, feed);
  const reported = [];
  const watch = (token, name = "token") =>
    verifier.onRevoked(token, (verdict) => reported.push([name, verdict.code]));
  verifier.apply(base);
  return { time, reported, verifier, watch };
}

for (const [code, delta] of Object.entries({
  revoked_token: byToken, revoked_session: bySession, revoked_user: byUser, revoked_epoch: byEpoch,
})) {
  // V17, S15: once, with the verdict, and no other watcher.
  test(`the watcher of a token that is refused with ${code} is called once`, () => {
    const { reported, verifier, watch } = start();
    let whole;
    verifier.onRevoked(good, (verdict) => { whole = verdict; });
    watch(good);
    watch(other, "another");
    verifier.apply(heartbeat);
    assert.deepEqual(reported, []);
    verifier.apply(delta);
    assert.deepEqual(reported, [["token", code]]);
    const { outcome, code: named, evidence } = whole;
    assert.deepEqual([outcome, named, evidence.position], ["refused", code, "1.3"]);
    assert.deepEqual(Object.keys(whole), ["outcome", "code", "detail", "evidence"]);
    verifier.apply(delta);
    verifier.apply(another);
    assert.deepEqual(reported, [["token", code], ["another", "revoked_token"]]);
    assert.equal(verifier.status().watched, 0);
  });
}

test("the watcher of a token of a dead key is called once", () => {
  const { reported, verifier, watch } = start();
  watch(good);
  verifier.apply(byKey);
  verifier.apply(byKey);
  assert.deepEqual(reported, [["token", "revoked_key"]]);
});

// V10: the feed's heartbeat triggers the check of the time.
test("the watcher of a token is called when it expires", async () => {
  const { time, reported, verifier, watch } = start();
  watch(await mint(key, { exp: now() + 60 }));
  time.ahead = 80;
  verifier.apply(heartbeat);
  assert.deepEqual(reported, [], "within the leeway");
  time.ahead = 100;
  verifier.apply(heartbeat);
  assert.deepEqual(reported, [["token", "expired"]]);
});

// D11: the feed is cut off, and no news arrives any more.
test("the watcher of a token is called when it expires although the feed is cut off", async () => {
  const { reported, verifier, watch } = start({ leewaySeconds: 0 });
  watch(await mint(key, { exp: now() + 2 }));
  watch(good, "another");
  assert.ok(await until(() => reported.length > 0, 6));
  assert.deepEqual(reported, [["token", "expired"]]);
  verifier.close();
});

// D11: the token may have been revoked in the meantime, and only the watcher can decide what to do then.
test("the watcher of a token is called when the feed is too old for a verdict", async () => {
  const { time, verifier } = start({}, { maxStaleness: 2 });
  const undecided = [];
  const refused = [];
  const onUndecided = ({ outcome, code }) => undecided.push([outcome, code]);
  verifier.onRevoked(good, ({ code }) => refused.push(code), { onUndecided });
  verifier.onRevoked(good, () => {}, { onUndecided() { throw new Error("broken"); } });
  assert.deepEqual(undecided, []);
  assert.ok(await until(() => undecided.length > 0, 8));
  await new Promise((resume) => setTimeout(resume, 1500));
  assert.deepEqual(undecided, [["undecided", "stale_snapshot"]], "once");
  assert.deepEqual([refused, verifier.status().watched], [[], 2]);
  // Fresh again, and stale again.
  const { snapshots: [beat, revoking] } = sign([
    { from: 2, to: 2, issued_at: now() + 5 }, { from: 2, to: 3, tokens: ["token"], issued_at: now() + 6 },
  ]);
  time.ahead = 5;
  verifier.apply(beat);
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.ok(await until(() => undecided.length === 2, 8));
  verifier.apply(revoking);
  assert.deepEqual(refused, ["revoked_token"]);
  verifier.close();
});

// E04: a watcher's timer ends with the watcher, and with the verifier.
test("no watcher is called after it has stopped or the verifier is closed", async () => {
  const { reported, verifier, watch } = start({ leewaySeconds: 0 });
  const short = await mint(key, { exp: now() + 1 });
  watch(short)();
  watch(short);
  verifier.close();
  await new Promise((resume) => setTimeout(resume, 2500));
  assert.deepEqual(reported, []);
});

// E04: nor later, in a timer whose error no caller could catch.
test("watching with a closed verifier is an error of the caller", () => {
  const { verifier } = start();
  verifier.close();
  assert.throws(() => verifier.onRevoked(good, () => {}), /the verifier is closed/);
  assert.equal(verifier.status().watched, 0);
});

// E01: an undecided verdict does not mean that a token is revoked.
test("an undecided verdict is not reported", async () => {
  const { time, reported, verifier, watch } = start();
  watch(good);
  time.ahead = 700;
  verifier.apply(heartbeat);
  assert.equal(verifier.verifySync(good).code, "stale_snapshot");
  time.ahead = 0;
  verifier.apply(fork);
  verifier.apply(heartbeat);
  assert.equal(verifier.verifySync(good).code, "feed_fork");
  assert.deepEqual(reported, []);
  assert.equal(verifier.status().watched, 1);
});

// E01, E02: an issuer whose keys could not be fetched yet has not withdrawn any key.
test("a token whose issuer's keys were never fetched is not refused", async () => {
  stub.upstream = (_, response) => response.writeHead(404).end();
  const { time, reported, verifier, watch } = start({ keys: `${stub.url}/missing` });
  watch(good);
  await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "no_keys");
  verifier.apply(heartbeat);
  assert.deepEqual(reported, []);
  assert.equal(verifier.status().watched, 1);
  stub.upstream = (_, response) => json(response, stub.jwks);
  time.ahead = 31;
  await verifier.refreshKeys();
  verifier.apply(byToken);
  assert.deepEqual(reported, [["token", "revoked_token"]]);
});

// V17: the state of one watched token must not apply to the token that replaces it.
test("a watched token in the place of a revoked one is judged separately", () => {
  const { reported, verifier, watch } = start();
  watch(good, "first");
  verifier.apply(heartbeat);
  verifier.apply(byToken);
  assert.deepEqual(reported, [["first", "revoked_token"]]);
  watch(other, "second");
  verifier.apply(nextHeartbeat);
  assert.deepEqual(reported.slice(1), [], "the second is good");
  verifier.apply(another);
  assert.deepEqual(reported.slice(1), [["second", "revoked_token"]]);
});

// V17: and the reverse, which would miss a revocation.
test("a watched token in the place of one that is no longer watched is not missed", () => {
  const { reported, verifier, watch } = start();
  const stop = watch(other, "first");
  verifier.apply(heartbeat);
  stop();
  watch(good, "second");
  verifier.apply(heartbeat);
  verifier.apply(byToken);
  assert.deepEqual(reported, [["second", "revoked_token"]]);
});

test("a stopped watcher is not called, however often and from wherever it is stopped", () => {
  const { reported, verifier, watch } = start();
  const stops = [watch(good, "a"), watch(good, "b"), watch(good, "c")];
  stops[0]();
  stops[0]();
  verifier.onRevoked(good, () => stops.forEach((stop) => stop()));
  watch(good, "d");
  verifier.apply(byToken);
  assert.deepEqual(reported.map(([name]) => name), ["b", "c", "d"]);
  stops.forEach((stop) => stop());
  watch(other, "e");
  watch(other, "f");
  verifier.apply(another);
  assert.deepEqual(reported.map(([name]) => name), ["b", "c", "d", "e", "f"]);
});

test("a watcher can stop another one before that one is called", () => {
  const { reported, verifier, watch } = start();
  let stop;
  verifier.onRevoked(good, () => stop());
  stop = watch(good, "spared");
  verifier.apply(byToken);
  assert.deepEqual(reported, []);
  assert.equal(verifier.status().watched, 0);
});

test("a callback that throws stops neither the other watchers nor the feed", () => {
  const { reported, verifier, watch } = start();
  verifier.onRevoked(good, () => { throw new Error("broken"); });
  verifier.onRevoked(good, () => { throw undefined; });
  watch(good, "after");
  assert.deepEqual(verifier.apply(byToken), { applied: "extended" });
  assert.deepEqual(reported, [["after", "revoked_token"]]);
});

// A client that reconnects immediately with the same token must not cause endless calls.
test("a callback that watches again does not cause endless calls", () => {
  const { verifier } = start();
  let calls = 0;
  const watch = () => verifier.onRevoked(good, () => {
    calls += 1;
    if (calls < 1000) watch();
  });
  watch();
  verifier.apply(byToken);
  assert.equal(calls, 1, "once per check");
  verifier.apply(another);
  assert.equal(calls, 2);
});

// E03: watched tokens are not lost with the instance.
test("watching survives a trap, also one during a check of the watchers", () => {
  const { reported, verifier, watch } = start();
  watch(good);
  watch(other, "another");
  const { judge, verify } = WasmVerifier.prototype;
  const trap = () => { throw new WebAssembly.RuntimeError("unreachable"); };
  Object.assign(WasmVerifier.prototype, { judge: trap, verify: trap });
  verifier.apply(heartbeat);
  Object.assign(WasmVerifier.prototype, { judge, verify });
  assert.deepEqual(reported, []);
  verifier.apply(byToken);
  assert.deepEqual(reported, [["token", "revoked_token"]]);
});

test("watching survives new keys, and reports a withdrawn key", async () => {
  const { reported, verifier, watch } = start({ keys: `${stub.url}/jwks` });
  await verifier.refreshKeys();
  watch(good);
  const next = await signingKey("EdDSA", "next");
  stub.jwks = { keys: [next.jwk, key.jwk] };
  await verifier.refreshKeys();
  verifier.apply(heartbeat);
  assert.deepEqual(reported, []);
  stub.jwks = { keys: [next.jwk] };
  await verifier.refreshKeys();
  verifier.apply(heartbeat);
  assert.deepEqual(reported, [["token", "unknown_key"]]);
  stub.jwks = { keys: [key.jwk] };
});

test("of a thousand watched tokens, only the revoked ones are reported", async () => {
  const { reported, verifier, watch } = start();
  const tokens = [good, other];
  for (let one = 0; one < 30; one += 1) {
    tokens.push(await mint(key, { jti: `j${one}`, sid: `s${one}`, sub: `u${one}` }));
  }
  for (let one = 0; one < 5000; one += 1) watch(tokens[one % 32], one);
  verifier.apply(heartbeat);
  assert.equal(verifier.status().watched, 5000);
  verifier.apply(byToken);
  assert.equal(reported.length, Math.ceil(5000 / 32));
  assert.ok(reported.every(([one]) => one % 32 === 0));
  assert.equal(verifier.status().watched, 5000 - reported.length);
  verifier.apply(another);
  assert.ok(reported.every(([one]) => one % 32 <= 1));
});

test("a token that is invalid from the start is reported at the next check, not immediately", () => {
  for (const rememberedTokens of [0, 1, 10_000]) {
    const { reported, verifier, watch } = start({ rememberedTokens });
    watch("nonsense");
    watch(good.slice(0, -5), "cut");
    assert.deepEqual(reported, []);
    verifier.apply(heartbeat);
    assert.deepEqual(reported.map(([, code]) => code), ["malformed", "malformed"]);
  }
});

test("a watcher without a callback is a TypeError", () => {
  const { verifier } = start();
  for (const args of [
    [good], [good, "x"], [null, null], [good, () => {}, { onUndecided: "x" }],
  ]) {
    assert.throws(() => verifier.onRevoked(...args), TypeError);
  }
  assert.equal(verifier.status().watched, 0);
});

// D34: a value that is no token ends its connection, and never the process.
test("a value that is no string is refused at the next check", () => {
  const { reported, verifier, watch } = start();
  for (const token of [undefined, null, 5, {}, ["x"]]) watch(token, typeof token);
  verifier.apply(heartbeat);
  assert.deepEqual(reported.map(([, code]) => code), Array(5).fill("malformed"));
  assert.equal(verifier.status().watched, 0);
});
