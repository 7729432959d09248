// The reports of a verifier about itself: status() and onEvent.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { eventOf, openStream, optionsOf, send, until, verifierOf } from "../support/feed.mjs";
import { ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta, gap] } = sign([
  { to: 2, issued_at: now() - 5 },
  { from: 2, to: 3, tokens: ["token"], issued_at: now() },
  { from: 7, to: 8 },
]);
const good = await mint(key);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(more = {}, feed = {}) {
  const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
  open.push(stub);
  const events = [];
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  const options = { keys: `${stub.url}/jwks`, onEvent: (event) => events.push(event), ...more };
  return { events, stub, parts, options, ...verifierOf(parts, options, feed) };
}

const isTime = (value) => Math.abs(value - Date.now() / 1000) < 600;

// V18, E01: every member exists before anything was fetched.
test("the status of a verifier that has done nothing", async () => {
  const { stub, verifier } = await start();
  const { instance, ...status } = verifier.status();
  assert.deepEqual(status, {
    ready: false,
    position: null,
    ageSeconds: null,
    following: null,
    feed: {
      url: `${stub.url}/feed`, lastRoundAt: null, rounds: 0, failures: 0, lastFailure: null,
      behindSince: null, streamLatenessSeconds: null,
    },
    keys: [{ issuer: ISSUER, ready: false, fetchedAt: null, problem: null, dropped: [] }],
    watched: 0,
  });
  assert.deepEqual(Object.keys(instance), ["replaced", "memoryBytes"]);
  assert.ok(Number.isInteger(instance.replaced) && instance.memoryBytes > 0);
  assert.equal(JSON.stringify(JSON.parse(JSON.stringify(status))), JSON.stringify(status));
});

test("the status of a verifier that follows, fails and is closed", async () => {
  const { stub, verifier, time } = await start();
  await verifier.refresh();
  const stop = verifier.onRevoked(good, () => {});
  const one = verifier.status();
  assert.deepEqual([one.ready, one.position, one.watched], [true, "1.2", 1]);
  assert.ok(one.ageSeconds >= 5 && one.ageSeconds < 300, `${one.ageSeconds}`);
  assert.ok(isTime(one.feed.lastRoundAt) && isTime(one.keys[0].fetchedAt));
  assert.deepEqual([one.feed.rounds, one.feed.failures], [1, 0]);
  stub.feed = send("<html>", { "content-type": "text/html" });
  await verifier.refresh();
  stop();
  const { at, ...failure } = verifier.status().feed.lastFailure;
  assert.ok(isTime(at));
  assert.deepEqual(failure, {
    url: `${stub.url}/feed`, error: "feed_unreachable", detail: 'content-type "text/html"',
  });
  stub.jwks = { keys: [] };
  time.ahead = 301;
  stub.feed = send(delta);
  await verifier.refresh();
  const other = verifier.status();
  assert.deepEqual([other.feed.failures, other.feed.rounds, other.watched], [1, 2, 0]);
  assert.equal(other.keys[0].ready, true, "the old keys stay");
  assert.equal(typeof other.keys[0].problem, "string");
  assert.equal(other.feed.lastFailure.error, "feed_unreachable", "the last failure stays visible");
  verifier.close();
  const closed = verifier.status();
  assert.deepEqual([closed.ready, closed.position, closed.ageSeconds], [false, null, null]);
});

test("the status says how the feed is followed", async () => {
  for (const follow of ["stream", "long-poll", "poll"]) {
    const { parts, stub, options } = await start();
    stub.stream = openStream(eventOf(base));
    const verifier = await createVerifier(optionsOf(parts, options, { follow }));
    open.push(verifier);
    assert.ok(await until(() => verifier.status().following === follow));
  }
});

// D31: the status shows the actual way of following, not the configured one.
test("the status says poll while no stream gets through", async () => {
  const { parts, stub, options, time } = await start();
  const verifier = await createVerifier(optionsOf({ ...parts, time }, options, { pollSeconds: 0.05 }));
  open.push(verifier);
  for (let looks = 0; looks < 20; looks += 1) {
    assert.equal(verifier.status().following, "poll");
    await new Promise((resume) => setTimeout(resume, 10));
  }
  time.ahead = 31;
  const { rounds } = verifier.status().feed;
  assert.ok(await until(() => verifier.status().feed.rounds > rounds + 1), "polls show the new time");
  stub.stream = openStream(eventOf(base));
  assert.ok(await until(() => verifier.status().following === "stream", 30));
  stub.stream.end();
  stub.stream = undefined;
  assert.ok(await until(() => verifier.status().following === "poll"));
});

// S10, E10: the result of each snapshot, for metrics and alarms.
test("each snapshot and each failure is an event", async () => {
  const { events, stub, verifier, time } = await start();
  await verifier.refresh();
  stub.feed = send(delta);
  await verifier.refresh();
  await verifier.refresh();
  stub.feed = send(gap);
  await verifier.refresh();
  stub.feed = (request) => request.socket.destroy();
  time.ahead = 31;
  await verifier.refresh();
  verifier.apply(Buffer.from("nonsense"));
  const evidence = (event) => {
    const { ageSeconds, bytes, detail, ...rest } = event;
    if (event.type === "snapshot") assert.ok(bytes > 0 && ageSeconds >= 0);
    if (event.error) assert.ok(typeof detail === "string" && detail.length > 0);
    return rest;
  };
  assert.deepEqual(events.map(evidence), [
    { type: "snapshot", applied: "replaced", position: "1.2" },
    { type: "snapshot", applied: "extended", position: "1.3" },
    { type: "snapshot", applied: "ignored", position: "1.3" },
    { type: "snapshot", error: "feed_gap", needsBase: true, position: "1.3" },
    { type: "snapshot", error: "feed_gap", needsBase: true, position: "1.3" },
    { type: "failure", error: "feed_gap", needsBase: true },
    { type: "failure", error: "feed_unreachable" },
    { type: "snapshot", error: "snapshot_malformed", needsBase: false, position: "1.3" },
  ]);
});

test("keys that cannot be fetched are an event and a problem", async () => {
  const { events, stub, verifier } = await start();
  stub.isUp = false;
  await verifier.refreshKeys();
  const reported = events.map(({ type, error }) => [type, error]);
  assert.deepEqual(reported, [["failure", "keys_unreachable"]]);
  const [keys] = verifier.status().keys;
  assert.deepEqual([keys.ready, keys.problem, keys.fetchedAt], [false, "no answer", null]);
});

// E12: neither the status nor an event contains any part of a token or credential.
test("no report contains a token or the feed's credential", async () => {
  const { events, stub, verifier, time } = await start({}, { apiKey: "osk_secret" });
  await verifier.refresh();
  verifier.onRevoked(good, () => {});
  verifier.verifySync(good);
  stub.feed = (_, response) => response.writeHead(401).end();
  await verifier.refresh();
  time.ahead = 31;
  stub.feed = send(delta);
  await verifier.refresh();
  const reported = JSON.stringify([events, verifier.status()]);
  assert.ok(!reported.includes("osk_secret"));
  assert.ok(!reported.includes(good.split(".")[2]) && !reported.includes("eyJ"));
});

// S09: a listener must not break the verifier.
test("a listener that throws breaks nothing", async () => {
  for (const thrown of [new Error("broken"), undefined, null]) {
    const onEvent = () => { throw thrown; };
    const { parts, options, stub } = await start({ onEvent });
    stub.stream = openStream();
    const verifier = await createVerifier(optionsOf(parts, options));
    open.push(verifier);
    assert.ok(await until(() => stub.stream.followers.size === 1));
    stub.stream.send(delta);
    assert.ok(await until(() => verifier.verifySync(good).code === "revoked_token"));
  }
});

// S09, E04: a listener may call anything, also close the verifier that it listens to.
test("a listener that closes the verifier ends it cleanly", async () => {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  const stream = stub.stream = openStream();
  let verifier;
  const onEvent = () => verifier?.close();
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  verifier = await createVerifier(optionsOf(parts, { onEvent }));
  assert.ok(await until(() => stream.followers.size === 1));
  stream.send(delta);
  assert.ok(await until(() => stream.followers.size === 0));
  assert.throws(() => verifier.verifySync(good), /closed/);
});
