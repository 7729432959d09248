// A trap affects the request in which it happens, and nothing else.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { Verifier } from "offswitch";
import { optionsOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { CALLS, exhausted, later, trapping, unreachable } from "../support/traps.mjs";

const key = await signingKey("EdDSA");
const es256 = await signingKey("ES256");
const years = { valid_until: now() + 1e8 };
const { publicKey, snapshots: [base, delta, more] } = sign([
  { to: 2, tokens: ["gone"], ...years },
  { from: 2, to: 3, tokens: ["later"], ...years },
  { from: 3, to: 4, tokens: ["last"], ...years },
]);
const exp = now() + 80_000;
const [good, gone, newer, last] = await Promise.all(
  ["token", "gone", "later", "last"].map((jti) => mint(key, { jti, exp })));
const byHost = await mint(es256, { exp });
const parts = { key, publicKey, url: "http://feed.test/feed" };
// The circuit breaker counts what happens within ten seconds.
beforeEach(() => later(11));

function start(...snapshots) {
  const keys = { keys: [key.jwk, es256.jwk] };
  const verifier = new Verifier(optionsOf(parts, { keys }, { maxStaleness: 86_400 }));
  for (const bytes of snapshots) verifier.apply(bytes);
  return verifier;
}

const codes = (verifier) => [good, gone, newer].map((token) => verifier.verifySync(token).code);
const HELD = ["valid", "revoked_token", "revoked_token"];

// E03: more bytes than wasm can address are a real trap; afterwards the held state is in force again.
test("a snapshot that no memory can hold leaves the last good state in force", () => {
  const verifier = start(base, delta);
  const memory = verifier.status().instance.memoryBytes;
  const endless = new Uint8Array(2 ** 31);
  endless.set(base); // data that does not begin like a snapshot never enters wasm's memory
  for (let round = 0; round < 3; round += 1) {
    const result = verifier.apply(endless);
    assert.equal(result.error, "verifier_failed");
    assert.deepEqual(codes(verifier), HELD);
  }
  assert.ok(verifier.status().instance.memoryBytes <= memory);
});

for (const [what, error] of Object.entries({ "a trap": unreachable, "no stack": exhausted })) {
  // E03, S03: a trap may make the state less fresh, but never lowers the floor.
  test(`after ${what} the whole held state is in force again`, async () => {
    const verifier = start(base, delta);
    const other = start(base);
    assert.equal(verifier.verifySync(good).code, "valid");
    const failed = trapping(() => verifier.verifySync(good), undefined, error);
    assert.deepEqual([failed.outcome, failed.code], ["undecided", "verifier_failed"]);
    assert.deepEqual(failed.evidence, { position: null, ageSeconds: null });
    assert.deepEqual(codes(verifier), HELD);
    assert.equal(verifier.since(), "1.3");
    assert.equal(other.verifySync(good).code, "valid", "all verifiers share the instance");
    assert.equal(other.since(), "1.2");
    assert.deepEqual(verifier.apply(more), { applied: "extended" });
    assert.equal(verifier.verifySync(last).code, "revoked_token");
  });
}

for (const call of CALLS) {
  // E03: at whichever call it happens, only a trap of ours is thrown, and the next call works.
  test(`a trap in ${call} is survived`, async () => {
    const verifier = start(base);
    const reported = [];
    verifier.onRevoked(good, ({ code }) => reported.push(code));
    const results = [];
    const attempt = async (run) => results.push(await run());
    await trapping(() => attempt(() => verifier.verifySync(good)), [call]);
    await trapping(() => attempt(() => verifier.verify(byHost)), [call]);
    await trapping(() => attempt(() => verifier.apply(delta)), [call]);
    assert.deepEqual(reported, []);
    later(11);
    verifier.apply(delta);
    assert.deepEqual(codes(verifier), HELD, JSON.stringify(results));
    assert.equal((await verifier.verify(byHost)).code, "valid");
    assert.deepEqual(reported, []);
    assert.equal(verifier.status().position, "1.3");
  });
}

// E03: many verdicts at the same time, one of which meets the trap.
test("verdicts in progress when the instance is replaced are decided again", async () => {
  const verifier = start(base);
  const first = Array.from({ length: 20 }, () => verifier.verify(byHost));
  trapping(() => verifier.verifySync(good));
  const outcomes = (await Promise.all(first)).map(({ code }) => code);
  assert.deepEqual(outcomes, Array(20).fill("valid"));
});

// E03, E08: the base is read from the memory of the trapped instance, wherever it is by then.
test("after a trap the base is in force again although the memory has grown since", () => {
  const verifier = start(base, delta);
  const before = verifier.status().instance.memoryBytes;
  const { publicKey: other, snapshots: [large] } = sign([{ to: 2, extra: 500_000, ...years }]);
  const neighbour = new Verifier(optionsOf({ ...parts, publicKey: other }));
  assert.deepEqual(neighbour.apply(large), { applied: "replaced" });
  assert.ok(verifier.status().instance.memoryBytes > before);
  for (let times = 0; times < 2; times += 1) {
    trapping(() => verifier.verifySync(good));
    assert.deepEqual(codes(verifier), HELD);
    assert.equal(neighbour.since(), "1.2");
  }
});

// E03: a half-finished state of the trapped instance is refused by its signature, and no token is valid.
test("a trap right after a base has replaced another leaves one of them in force, or none", () => {
  const verifier = start(base);
  assert.equal(trapping(() => verifier.apply(newBase), ["base"]).error, "verifier_failed");
  later(11);
  assert.notEqual(verifier.verifySync(gone).outcome, "valid");
  assert.notEqual(verifier.verifySync(newer).outcome, "valid");
  assert.deepEqual(verifier.apply(newBase), { applied: "replaced" });
  assert.deepEqual(codes(verifier), HELD);
});

const { snapshots: [fork, future, newBase] } = sign([
  { to: 2, history: "fork", ...years },
  { from: 2, to: 3, issued_at: now() + 900, valid_until: now() + 1500 },
  { to: 3, tokens: ["gone", "later"], ...years },
]);

const trap = (verifier) =>
  assert.equal(trapping(() => verifier.verifySync(good)).code, "verifier_failed");

// E03, S03: two histories were signed; after a trap neither is trusted again.
test("a trap does not undo the detection of a fork", () => {
  const verifier = start(base);
  assert.equal(verifier.apply(fork).error, "feed_fork");
  for (let times = 0; times < 2; times += 1) {
    trap(verifier);
    assert.equal(verifier.verifySync(good).code, "feed_fork");
    assert.equal(verifier.verifySync(gone).code, "revoked_token");
    assert.equal(verifier.since(), undefined, "a base is wanted");
  }
  verifier.apply(newBase);
  trap(verifier);
  assert.equal(verifier.verifySync(good).code, "valid", "a newer base has ended the fork");
});

// E03, E06: the feed has shown that the clock is wrong, and it is still wrong after a trap.
test("a trap does not undo the warning of a snapshot from the future", () => {
  const verifier = start(base);
  assert.equal(verifier.apply(future).error, "snapshot_from_the_future");
  const { ageSeconds } = verifier.status();
  assert.ok(ageSeconds >= 890, `${ageSeconds} s`);
  trap(verifier);
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.ok(verifier.status().ageSeconds >= ageSeconds, "the held state looks as old as before");
});

// E03, S03: the floor was plausible when it was set, and stays in force with any clock.
test("a trap while the clock is days behind does not lose the floor", () => {
  const era = now();
  const { snapshots: [low, high] } = sign([{ era, to: 1, ...years }, { era, to: 2, ...years }]);
  const time = { ahead: 0 };
  const verifier = new Verifier(optionsOf({ ...parts, time }, {}, { maxStaleness: 86_400 }));
  assert.deepEqual(verifier.apply(high), { applied: "replaced" });
  time.ahead = -3 * 86_400;
  trap(verifier);
  assert.notEqual(verifier.verifySync(good).outcome, "valid");
  time.ahead = 0;
  verifier.apply(low);
  assert.equal(verifier.verifySync(good).code, "no_snapshot");
});

// E03, E06: nor after a delta of the present, which is no younger than the held state.
test("a trap does not undo that warning after a delta either", () => {
  const verifier = start(base);
  verifier.apply(future);
  assert.deepEqual(verifier.apply(delta), { applied: "extended" });
  const { ageSeconds } = verifier.status();
  trap(verifier);
  assert.equal(verifier.since(), "1.3");
  assert.ok(Math.abs(verifier.status().ageSeconds - ageSeconds) < 5, `${ageSeconds} s`);
});

// E03: the number of traps is reported.
test("the status counts how often the instance was replaced", () => {
  const verifier = start(base);
  const before = verifier.status().instance.replaced;
  for (let times = 0; times < 3; times += 1) trapping(() => verifier.verifySync(good));
  assert.equal(verifier.status().instance.replaced, before + 3);
});
