// The circuit breaker: an instance that traps repeatedly is paused for a while.

import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { optionsOf, until } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { later, trapping } from "../support/traps.mjs";

const key = await signingKey("EdDSA");
const years = { valid_until: now() + 1e8 };
const { publicKey, snapshots: [base, delta] } = sign([
  { to: 2, ...years }, { from: 2, to: 3, tokens: ["token"], ...years },
]);
const good = await mint(key, { exp: now() + 1e7 });
const open = [];
after(async () => {
  for (const one of open) await one.close();
});
beforeEach(() => later(20));

function start(url = "http://feed.test/feed") {
  const verifier = new Verifier(optionsOf({ key, publicKey, url }, { maxLifetime: 31_536_000 }, { maxStaleness: 86_400 }));
  verifier.apply(base);
  return verifier;
}

const trap = (verifier, times) => {
  for (let time = 0; time < times; time += 1) trapping(() => verifier.verifySync(good));
};

// E03: each replacement takes the time to load the held state again; an attacker must not use up all of it.
test("after five traps in ten seconds the instance pauses for two, then everything is as before", () => {
  const verifier = start();
  trap(verifier, 4);
  assert.equal(verifier.verifySync(good).code, "valid");
  trap(verifier, 1);
  const { replaced } = verifier.status().instance;
  for (let times = 0; times < 1000; times += 1) {
    const { outcome, code } = trapping(() => verifier.verifySync(good));
    assert.deepEqual([outcome, code], ["undecided", "verifier_failed"]);
  }
  assert.equal(verifier.status().instance.replaced, replaced);
  later(1.5);
  assert.equal(verifier.verifySync(good).code, "verifier_failed");
  later(1);
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.equal(verifier.since(), "1.2");
});

test("traps that are seconds apart do not add up", () => {
  const verifier = start();
  for (let times = 0; times < 20; times += 1) {
    trap(verifier, 1);
    assert.equal(verifier.verifySync(good).code, "valid", `after ${times + 1}`);
    later(3);
  }
});

test("an instance that traps again after its pause pauses again", () => {
  const verifier = start();
  for (let times = 0; times < 3; times += 1) {
    trap(verifier, 5);
    assert.equal(verifier.verifySync(good).code, "verifier_failed");
    later(2.1);
    assert.equal(verifier.verifySync(good).code, "valid");
  }
});

// E05: a clock that is set back must not turn a pause of two seconds into one of a day.
test("a clock that is set back does not make the pause longer", () => {
  const verifier = start();
  trap(verifier, 5);
  later(-86_400);
  try {
    later(10);
    // By that clock the held state is from the future; the feed resolves that.
    assert.notEqual(verifier.verifySync(good).code, "verifier_failed");
  } finally {
    later(86_400);
  }
});

// E03, S09: every call to a paused verifier returns an answer, none throws.
test("a paused verifier answers everything", async () => {
  const stub = await startStub({ snapshot: delta });
  const verifier = start(`${stub.url}/feed`);
  open.push(verifier, stub);
  verifier.onRevoked(good, () => assert.fail("no token was decided"));
  trap(verifier, 5);
  assert.equal((await verifier.verify(good)).code, "verifier_failed");
  assert.equal(verifier.apply(delta).error, "verifier_failed");
  assert.equal(verifier.status().ready, false);
  assert.equal(verifier.status().position, null);
  const result = await verifier.refresh().catch((error) => ({ thrown: error.message }));
  assert.ok("error" in result, JSON.stringify(result));
  later(2.1);
  assert.equal(verifier.verifySync(good).code, "valid");
});

// E03, X16: its options are not wrong.
test("a verifier created during the pause gets no error about its options", () => {
  const verifier = start();
  trap(verifier, 5);
  let next;
  try {
    next = start();
  } catch (error) {
    assert.notEqual(error.code, "invalid_options");
  }
  later(2.1);
  next ??= start();
  next.apply(base);
  assert.equal(next.verifySync(good).code, "valid");
});

// E03: nor does it stop following the feed.
test("a feed is still followed after the pause", async () => {
  const stub = await startStub({ snapshot: base });
  const feed = { follow: "poll", pollSeconds: 0.05, maxStaleness: 86_400 };
  const options = optionsOf({ key, publicKey, url: `${stub.url}/feed` }, { maxLifetime: 31_536_000 }, feed);
  const verifier = await createVerifier(options);
  open.push(verifier, stub);
  const reported = [];
  verifier.onRevoked(good, ({ code }) => reported.push(code));
  trap(verifier, 5);
  assert.equal(verifier.verifySync(good).code, "verifier_failed");
  await new Promise((resume) => setTimeout(resume, 300));
  stub.snapshot = delta;
  later(2.1);
  assert.ok(await until(() => reported.length > 0));
  assert.deepEqual(reported, ["revoked_token"]);
});
