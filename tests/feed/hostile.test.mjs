// How the feed client treats unexpected answers to a poll.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { hostileAnswers, send, verifierOf } from "../support/feed.mjs";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"] },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 5, to: 6 },
  { to: 6 },
  { from: 2, to: 3, history: "fork" },
  { from: 2, to: 3, feed: "another" },
  { from: 2, to: 3, seed: 8 },
]);
const [base, delta, gap, newer, fork, otherFeed, otherKey] = snapshots;
const good = await mint(key);
const gone = await mint(key, { jti: "gone" });
const stubs = [];
after(async () => {
  for (const stub of stubs) await stub.close();
});

/** A verifier with the base at 1.2; time can be moved past the backoff. */
async function held(feed = {}, more = {}) {
  const stub = await startStub({ snapshot: base });
  stubs.push(stub);
  const parts = { key, publicKey, url: `${stub.url}/feed?tenant=a` };
  const limits = { maxBytes: 100_000, timeoutSeconds: 0.4 };
  const { time, verifier } = verifierOf(parts, more, { ...limits, ...feed });
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  return { stub, verifier, time };
}

const searches = (stub) =>
  stub.requests.filter((one) => one.path === "/feed").map((one) => one.search);

const HOSTILE = hostileAnswers({ delta, fork, otherFeed, otherKey });
for (const [what, handler] of Object.entries(HOSTILE)) {
  // S08, S09, S10: the last good state stays in force and the next good update succeeds.
  test(`${what} leaves the last good state in force`, async () => {
    const { stub, verifier, time } = await held();
    stub.feed = handler;
    const began = Date.now();
    const result = await verifier.refresh();
    assert.ok("error" in result, JSON.stringify(result));
    assert.ok(Date.now() - began < 10_000, "bounded in time");
    assert.equal(verifier.since(), "1.2");
    assert.equal(verifier.verifySync(good).code, "valid");
    assert.equal(verifier.verifySync(gone).code, "revoked_token");
    const { failures, lastFailure } = verifier.status().feed;
    assert.deepEqual([failures, lastFailure.error], [1, result.error]);
    stub.feed = send(delta);
    assert.deepEqual(await verifier.refresh(), { skipped: true });
    time.ahead = 31;
    assert.deepEqual(await verifier.refresh(), { applied: "extended" });
    assert.equal(verifier.verifySync(good).code, "revoked_token");
  });
}

// S06: a delta that begins after the held position cannot be used; the base is fetched instead.
test("a gap fetches the base in the same round", async () => {
  const { stub, verifier } = await held();
  stub.feed = (request, response) =>
    send(request.url.includes("since=") ? gap : newer)(request, response);
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.equal(verifier.since(), "1.6");
  assert.deepEqual(searches(stub), ["?tenant=a", "?tenant=a&since=1.2", "?tenant=a"]);
});

// S06: a base is requested once per round; if that does not fit either, the round is over.
test("a server that answers everything with a gap gets two requests per round", async () => {
  const { stub, verifier } = await held();
  stub.feed = send(gap);
  assert.equal((await verifier.refresh()).error, "feed_gap");
  assert.equal(asked(stub, "/feed"), 3);
  assert.equal(verifier.verifySync(good).code, "valid");
});

// E10, S03: a cache answers first with one version, then with another: the newest one counts.
test("a snapshot older than the held one is ignored without a failure, and counted", async () => {
  const events = [];
  const { stub, verifier } = await held({}, { onEvent: (event) => events.push(event) });
  for (const bytes of [newer, base, delta, newer, base]) {
    stub.feed = send(bytes);
    await verifier.refresh();
    assert.equal(verifier.status().position, "1.6");
    assert.equal(verifier.verifySync(good).code, "valid");
  }
  const { failures, rounds } = verifier.status().feed;
  assert.deepEqual([failures, rounds], [0, 6]);
  const applied = events.filter(({ type }) => type === "snapshot").map((event) => event.applied);
  assert.deepEqual(applied, ["replaced", "replaced", "ignored", "ignored", "refreshed", "ignored"]);
});

// S14: a server can ask for fewer requests, within limits.
test("Retry-After is honoured up to a limit", async () => {
  const { stub, verifier, time } = await held();
  stub.feed = send("", { "retry-after": "9" }, 503);
  await verifier.refresh();
  time.ahead = 8;
  assert.deepEqual(await verifier.refresh(), { skipped: true });
  time.ahead = 10;
  stub.feed = send("", { "retry-after": "99999999" }, 503);
  assert.ok("error" in (await verifier.refresh()));
  time.ahead = 39;
  assert.deepEqual(await verifier.refresh(), { skipped: true });
  time.ahead = 45;
  stub.feed = send(delta);
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  assert.equal(asked(stub, "/feed"), 4);
});

// S14: RFC 9110 section 10.2.3 allows a date as well.
test("Retry-After may be a date", async () => {
  const { stub, verifier, time } = await held();
  const date = new Date(Date.now() + 20_000).toUTCString();
  stub.feed = send("", { "retry-after": date }, 503);
  await verifier.refresh();
  time.ahead = 10;
  assert.deepEqual(await verifier.refresh(), { skipped: true });
  stub.feed = send(delta);
  time.ahead = 31;
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
});

// S14: a value that is not a time is ignored.
test("nonsense in Retry-After does no harm", async () => {
  const { stub, verifier, time } = await held();
  for (const nonsense of ["-5", "soon", "1e999", "", "NaN", "5, 6", "9".repeat(400)]) {
    stub.feed = send("", { "retry-after": nonsense }, 503);
    assert.equal((await verifier.refresh()).error, "feed_unreachable");
    time.ahead += 31;
  }
  stub.feed = send(delta);
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
});

// S08: the caller's signal ends a round that hangs, regardless of the time limit.
test("a round that is aborted ends immediately", async () => {
  const { stub, verifier } = await held({ timeoutSeconds: 600 });
  stub.feed = () => {};
  const abort = new AbortController();
  const round = verifier.refresh({ signal: abort.signal });
  setTimeout(() => abort.abort(), 50);
  assert.equal((await round).error, "feed_unreachable");
  assert.equal(verifier.verifySync(good).code, "valid");
});

// S14: the backoff is measured in time, so that an aborted attempt does not delay the next one.
test("the pauses after failures grow to ten seconds and end with the first success", async () => {
  const { stub, verifier, time } = await held();
  const pauses = [];
  stub.feed = send("", {}, 500);
  for (let failure = 0; failure < 12; failure += 1) {
    assert.ok("error" in (await verifier.refresh()));
    const failedAt = time.ahead;
    while ("skipped" in (await verifier.refresh())) time.ahead += 0.125;
    pauses.push(time.ahead - failedAt);
    time.ahead += 31;
  }
  assert.ok(pauses[0] >= 0.25 && pauses.at(-1) >= 5, pauses.join());
  assert.ok(pauses.every((pause) => pause <= 10.5), pauses.join());
  stub.feed = undefined;
  time.ahead += 31;
  assert.deepEqual(await verifier.refresh(), { applied: "refreshed" });
  assert.deepEqual(await verifier.refresh(), { applied: "refreshed" });
});
