// The client of the feed's stream, one stream at a time, against a server that streams.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  STREAM_TYPE, eventOf, followStream, hostileStreams, openStream, send, streaming, until,
  verifierOf,
} from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"] },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 3, to: 3 },
  { to: 6, tokens: ["gone"] },
  { from: 5, to: 6 },
  { from: 2, to: 3, history: "fork" },
  { from: 2, to: 3, feed: "another" },
  { from: 2, to: 3, seed: 8 },
  { from: 2, to: 2, issued_at: now() - 301, valid_until: now() + 600 },
]);
const [base, delta, heartbeat, newer, gap, fork, otherFeed, otherKey, old] = snapshots;
const good = await mint(key);
const gone = await mint(key, { jti: "gone" });
/** A stream that ends after these events. */
const ending = (...events) =>
  send(events.map((bytes) => eventOf(bytes)).join(""), { "content-type": STREAM_TYPE });
const stubs = [];
after(async () => {
  for (const stub of stubs) await stub.close();
});

/** A verifier with the base at 1.2, and a signal that ends its streams. */
async function held(feed = {}, more = {}) {
  const stub = await startStub({ snapshot: base });
  stubs.push(stub);
  const parts = { key, publicKey, url: `${stub.url}/feed?tenant=a` };
  const limits = { maxBytes: 100_000, timeoutSeconds: 0.4, apiKey: "osk_feed" };
  const { time, verifier } = verifierOf(parts, more, { ...limits, ...feed });
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  const abort = new AbortController();
  return { stub, time, verifier, abort, follow: () => followStream(verifier, abort.signal) };
}

// S15: it resumes at its position, with its credentials, and accepts every kind of snapshot.
test("a stream is resumed at the held position and brings delta, heartbeat and base", async () => {
  const { stub, verifier, follow } = await held();
  stub.stream = ending(delta, heartbeat, newer);
  assert.deepEqual(await follow(), { applied: "replaced" });
  assert.equal(verifier.since(), "1.6");
  const { headers, search } = stub.requests.at(-1);
  assert.deepEqual(
    [search, headers["last-event-id"], headers.authorization, headers.accept],
    ["?tenant=a", "1.2", "Bearer osk_feed", "text/event-stream"],
  );
  stub.stream = send(eventOf(newer), { "content-type": `${STREAM_TYPE}; charset=utf-8` });
  assert.deepEqual(await follow(), { applied: "refreshed" });
  assert.equal(stub.requests.at(-1).headers["last-event-id"], "1.6");
});

// S15: an event takes effect without waiting for more data.
test("an event counts as soon as it is complete, while the stream stays open", async () => {
  const { stub, verifier, abort, follow } = await held({ timeoutSeconds: 60 });
  const stream = stub.stream = openStream();
  const following = follow();
  assert.ok(await until(() => stream.followers.size === 1));
  assert.equal(verifier.verifySync(good).code, "valid");
  const text = eventOf(delta).replaceAll("\n", "\r\n");
  for (const byte of Buffer.from(text).subarray(0, -2)) stream.write(Buffer.from([byte]));
  await new Promise((resume) => setTimeout(resume, 50));
  assert.equal(verifier.verifySync(good).code, "valid", "the event is not complete yet");
  stream.write("\r\n");
  assert.ok(await until(() => verifier.verifySync(good).code === "revoked_token"));
  abort.abort();
  await following;
  assert.ok(await until(() => stream.followers.size === 0), "the connection is closed");
});

// S06: if a stream cannot continue from the position, a poll fetches the base, and the next stream begins there.
test("a gap ends the stream, and the poll after it fetches the base", async () => {
  const { stub, verifier, follow, time } = await held();
  stub.stream = streaming(eventOf(gap));
  assert.equal((await follow()).error, "feed_gap");
  assert.equal(verifier.verifySync(good).code, "valid");
  stub.feed = (request, response) =>
    send(request.url.includes("since=") ? gap : newer)(request, response);
  time.ahead = 31;
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  stub.stream = ending(newer);
  await follow();
  assert.equal(stub.requests.at(-1).headers["last-event-id"], "1.6");
});

// S07, S19: a server that repeats old statements is left, although each of them is genuine.
test("a stream that only repeats old statements is closed", async () => {
  const { stub, verifier, follow, time } = await held();
  time.ahead = 301; // half of maxStaleness
  stub.stream = streaming(...Array(50).fill(eventOf(old)));
  const result = await follow();
  assert.equal(result.error, "feed_stale");
  assert.equal(verifier.status().feed.lastFailure.error, "feed_stale");
  assert.equal(verifier.verifySync(good).code, "valid", "not too old yet");
});

// S08: an end is no failure, a reset is one, and both leave the held state unchanged.
test("a stream may end or break off at any time", async () => {
  const { stub, verifier, follow, time } = await held({ timeoutSeconds: 60 });
  stub.stream = ending();
  assert.deepEqual(await follow(), { skipped: true });
  assert.deepEqual(verifier.status().feed.failures, 0);
  const stream = stub.stream = openStream(eventOf(base));
  const following = follow();
  assert.ok(await until(() => stream.followers.size === 1 && verifier.status().feed.rounds >= 2));
  stream.reset();
  assert.equal((await following).error, "feed_unreachable");
  assert.deepEqual(await follow(), { skipped: true }, "there is a short pause");
  time.ahead = 31;
  stub.stream = ending(delta);
  assert.deepEqual(await follow(), { applied: "extended" });
});

// S14: the server refuses a stream with a time to retry.
test("Retry-After of a refused stream is honoured", async () => {
  const { stub, follow, time } = await held();
  stub.stream = send("", { "retry-after": "12" }, 503);
  assert.equal((await follow()).detail, "status 503");
  time.ahead = 11;
  assert.deepEqual(await follow(), { skipped: true });
  time.ahead = 13;
  assert.equal((await follow()).detail, "status 503");
  assert.equal(asked(stub, "/feed/stream"), 2);
});

const HOSTILE = hostileStreams({ delta, fork, otherFeed, otherKey });
for (const [what, handler] of Object.entries(HOSTILE)) {
  // S08, S09: bounded in bytes and time; the last good state stays, the next good update succeeds.
  test(`a stream that sends ${what} leaves the last good state in force`, async () => {
    const { stub, verifier, follow, time } = await held();
    stub.stream = handler;
    const began = Date.now();
    const result = await follow();
    assert.ok("error" in result, JSON.stringify(result));
    assert.ok(Date.now() - began < 10_000, "bounded in time");
    assert.equal(verifier.since(), "1.2");
    assert.equal(verifier.verifySync(good).code, "valid");
    assert.equal(verifier.verifySync(gone).code, "revoked_token");
    assert.equal(verifier.status().feed.failures, 1);
    stub.stream = ending(delta);
    time.ahead = 31;
    assert.deepEqual(await follow(), { applied: "extended" });
    assert.equal(verifier.verifySync(good).code, "revoked_token");
  });
}

// S08: each event restarts the limit of silence; single bytes do not.
test("a stream with an event now and then is not silent", async () => {
  const { stub, abort, verifier, follow } = await held({ timeoutSeconds: 4 });
  const stream = stub.stream = openStream();
  const beat = setInterval(() => stream.send(base), 200);
  const following = follow();
  assert.ok(await until(() => verifier.status().feed.rounds > 30, 60), "longer than 4 s in all");
  abort.abort();
  await following;
  clearInterval(beat);
  assert.equal(asked(stub, "/feed/stream"), 1);
});

// E12: aborting is not reported as a failure.
test("an aborted stream reports no failure", async () => {
  const events = [];
  const onEvent = (event) => events.push(event);
  const { stub, abort, follow } = await held({ timeoutSeconds: 60 }, { onEvent });
  const stream = stub.stream = openStream();
  const following = follow();
  assert.ok(await until(() => stream.followers.size === 1));
  abort.abort();
  await following;
  assert.deepEqual(events.map((one) => one.type), ["snapshot"]);
});
