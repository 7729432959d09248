// Two addresses of one feed, one of which is bad.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import {
  STREAM_TYPE, eventOf, followStream, hostileAnswers, hostileStreams, openStream, optionsOf, send,
  streaming, until, verifierOf,
} from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const later = { issued_at: now() + 290, valid_until: now() + 3600 };
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 3, to: 4, tokens: ["second"] },
  { to: 4, tokens: ["token", "second"] },
  { from: 2, to: 3, tokens: ["token"], ...later },
  { from: 2, to: 3, history: "fork" },
  { from: 2, to: 3, feed: "another" },
  { from: 2, to: 3, seed: 8 },
  { from: 2, to: 2 },
]);
const [base, delta, second, newest, lateDelta, fork, otherFeed, otherKey, heartbeat] = snapshots;
const good = await mint(key);
const goodSecond = await mint(key, { jti: "second" });
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

/** Answers like a good control plane. */
const serving = (request, response) => {
  const since = new URL(request.url, "http://feed").searchParams.get("since");
  const bytes = { 1.2: delta, 1.3: second }[since] ?? newest;
  send(since === null ? base : bytes)(request, response);
};

/** A bad mirror and a good one, and a verifier with both in this order, or the other. */
async function pair(handler, isBadFirst, feed = {}) {
  const [bad, fair] = [await startStub(), await startStub()];
  open.push(bad, fair);
  bad.feed = handler;
  fair.feed = serving;
  const url = [bad, fair].map((stub) => `${stub.url}/feed`);
  if (!isBadFirst) url.reverse();
  const limits = { maxBytes: 100_000, timeoutSeconds: 0.4, ...feed };
  return { bad, fair, ...verifierOf({ key, publicKey, url }, {}, limits) };
}

const BAD = {
  ...hostileAnswers({ delta, fork, otherFeed, otherKey }),
  "status 304 for everything": (_, response) => response.writeHead(304, { etag: '"x"' }).end(),
  "heartbeats without a base": send(heartbeat),
};

for (const [what, handler] of Object.entries(BAD)) {
  for (const isBadFirst of [true, false]) {
    const order = isBadFirst ? "first" : "second";
    // S19: a bad mirror costs the rounds until it is detected; then the verifier stays with the good one.
    test(`a mirror that is tried ${order} and answers ${what} stops nothing`, async () => {
      const { bad, fair, time, verifier } = await pair(handler, isBadFirst);
      await verifier.refresh();
      assert.ok(verifier.isReady, "after one round");
      assert.equal(verifier.verifySync(good).code, "valid");
      const before = asked(bad, "/feed");
      assert.deepEqual(await verifier.refresh(), { applied: "extended" });
      assert.equal(verifier.verifySync(good).code, "revoked_token");
      assert.deepEqual(await verifier.refresh(), { applied: "extended" });
      assert.equal(asked(bad, "/feed"), before, "the verifier stays with the good one");
      assert.equal(verifier.status().feed.url, `${fair.url}/feed`);
      // Now the good one fails, and the other one has become good.
      fair.isUp = false;
      bad.feed = send(newest);
      time.ahead = 31;
      await verifier.refresh();
      assert.equal(verifier.status().feed.url, `${bad.url}/feed`);
      assert.equal(verifier.status().feed.failures, (isBadFirst ? 1 : 0) + 1);
    });
  }
}

// S19, S07: a mirror with an old state is accepted while that state is fresh, and no longer.
for (const [what, handler] of Object.entries({
  "a base": send(base),
  "a heartbeat": (request, response) =>
    send(request.url.includes("since") ? heartbeat : base)(request, response),
  "an entity tag": (request, response) =>
    request.headers["if-none-match"] ? response.writeHead(304).end()
      : send(request.url.includes("since") ? heartbeat : base, { etag: '"1"' })(request, response),
})) {
  test(`a mirror that is frozen at ${what} is replaced after half of the allowed age`, async () => {
    const { bad, fair, time, verifier } = await pair(handler, true);
    fair.feed = send(lateDelta);
    for (; time.ahead <= 290; time.ahead += 10) await verifier.refresh();
    assert.equal(verifier.verifySync(good).code, "valid", "not too old yet");
    for (; time.ahead <= 330; time.ahead += 10) await verifier.refresh();
    assert.equal(verifier.verifySync(good).code, "revoked_token");
    const before = asked(bad, "/feed");
    for (; time.ahead <= 380; time.ahead += 10) await verifier.refresh();
    assert.equal(asked(bad, "/feed"), before, "the verifier stays with the good one");
  });
}

// S19, E01: while both are equally old, both are tried, and the feed goes stale as with one address.
test("two frozen mirrors are tried in turn and go stale", async () => {
  const { bad, fair, time, verifier } = await pair(send(base), true);
  fair.feed = send(base);
  await verifier.refresh();
  time.ahead = 580;
  for (let round = 0; round < 6; round += 1) await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.deepEqual([asked(bad, "/feed"), asked(fair, "/feed")], [4, 3]);
  time.ahead = 620;
  const lasting = await mint(key, { exp: now() + 3600 });
  assert.equal(verifier.verifySync(lasting).code, "stale_snapshot");
});

const BAD_STREAMS = {
  ...hostileStreams({ delta, fork, otherFeed, otherKey }),
  "an old heartbeat, repeatedly": streaming(...Array(20).fill(eventOf(heartbeat))),
};
for (const [what, handler] of Object.entries(BAD_STREAMS)) {
  // S19: the same for verifiers that follow by streams.
  test(`a mirror whose stream sends ${what} stops nothing`, async () => {
    const { bad, fair, time, verifier } = await pair(serving, true);
    await verifier.refresh();
    time.ahead = 301; // the frozen one is noticed immediately
    bad.stream = handler;
    fair.stream = send(eventOf(lateDelta), { "content-type": STREAM_TYPE });
    for (let tries = 0; tries < 4; tries += 1) await followStream(verifier);
    assert.equal(verifier.verifySync(good).code, "revoked_token");
    assert.ok(asked(bad, "/feed/stream") <= 3);
    assert.ok(asked(fair, "/feed/stream") >= 1);
  });
}

// S19: with the whole package, and in real time.
test("a follower changes mirrors as often as needed", async () => {
  const stubs = [await startStub({ snapshot: base }), await startStub({ snapshot: base })];
  for (const stub of stubs) stub.stream = openStream();
  const [one, other] = stubs;
  const url = stubs.map((stub) => `${stub.url}/feed`);
  const how = { pollSeconds: 0.05, timeoutSeconds: 60 };
  const verifier = await createVerifier(optionsOf({ key, publicKey, url }, {}, how));
  open.push(verifier, ...stubs);
  const isAt = (stub) => until(() => stub.stream.followers.size === 1);
  assert.ok(await isAt(one));
  one.isUp = false;
  one.stream.reset();
  assert.ok(await isAt(other));
  other.stream.send(delta);
  assert.ok(await until(() => verifier.verifySync(good).code === "revoked_token"));
  one.isUp = true;
  other.isUp = false;
  other.stream.reset();
  assert.ok(await isAt(one));
  one.stream.send(second);
  assert.ok(await until(() => verifier.verifySync(goodSecond).code === "revoked_token"));
});
