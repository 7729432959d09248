// Entity tags: a poll that would bring the same bytes again gets a 304, which proves nothing.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { send, verifierOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 2, issued_at: now() + 100 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 5, to: 6 },
]);
const [base, heartbeat, delta, gap] = snapshots;
const good = await mint(key);
const stubs = [];
after(async () => {
  for (const stub of stubs) await stub.close();
});

const unchanged = (_, response) => response.writeHead(304, { etag: '"a"' }).end();

/** A verifier whose requests are recorded with their If-None-Match. */
async function start(feed = {}, urls = 1) {
  const all = [];
  for (let count = 0; count < urls; count += 1) all.push(await startStub({ snapshot: base }));
  stubs.push(...all);
  const url = all.map((stub) => `${stub.url}/feed`);
  const tags = () => all.flatMap((stub) =>
    stub.requests.map(({ search, headers }) => [search, headers["if-none-match"]]));
  return { stub: all[0], stubs: all, tags, ...verifierOf({ key, publicKey, url }, {}, feed) };
}

// E10, S08: the tag is sent only with the same request that it came from.
test("a tag is sent only to the address that it came from", async () => {
  const { stub, tags, time, verifier } = await start();
  stub.feed = send(base, { etag: '"base"' });
  await verifier.refresh();
  stub.feed = send(heartbeat, { etag: 'W/"beat"' });
  time.ahead = 100;
  assert.deepEqual(await verifier.refresh(), { applied: "refreshed" });
  stub.feed = unchanged;
  assert.deepEqual(await verifier.refresh(), { applied: "ignored" });
  assert.deepEqual(await verifier.refresh(), { applied: "ignored" });
  stub.feed = send(base, { etag: '"older"' });
  assert.deepEqual(await verifier.refresh({ waitSeconds: 5 }), { applied: "refreshed" });
  stub.feed = send(delta, { etag: '"delta"' });
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  stub.feed = send(gap);
  await verifier.refresh();
  assert.deepEqual(tags(), [
    ["", undefined],
    ["?since=1.2", undefined],
    ["?since=1.2", 'W/"beat"'],
    ["?since=1.2", 'W/"beat"'],
    ["?since=1.2&wait=5", undefined],
    ["?since=1.2", undefined],
    ["?since=1.3", undefined],
    ["", undefined],
  ]);
});

// S09: a snapshot that was not applied is requested again in full.
test("a tag of a snapshot that was not applied is not sent", async () => {
  const { stub, tags, time, verifier } = await start();
  stub.feed = send(base, { etag: '"base"' });
  await verifier.refresh();
  stub.feed = send(heartbeat, { etag: '"beat"' });
  time.ahead = 100;
  await verifier.refresh();
  const wrong = [
    send(Buffer.from("nonsense"), { etag: '"nonsense"' }),
    send("<html>", { etag: '"page"', "content-type": "text/html" }),
    send(heartbeat, { etag: '"error"' }, 500),
    send(heartbeat.subarray(1), { etag: '"cut"' }),
  ];
  for (const handler of wrong) {
    time.ahead += 31;
    stub.feed = handler;
    assert.ok("error" in (await verifier.refresh()));
  }
  const sent = new Set(tags().map(([, tag]) => tag));
  assert.deepEqual(sent, new Set([undefined, '"beat"']));
});

// S19: the tag of one mirror has no meaning for another.
test("a tag is not sent to another mirror", async () => {
  const { stubs: [one, other], tags, time, verifier } = await start({}, 2);
  one.feed = send(base, { etag: '"one"' });
  other.feed = send(base, { etag: '"other"' });
  await verifier.refresh();
  one.feed = send(heartbeat, { etag: '"one"' });
  other.feed = send(heartbeat, { etag: '"other"' });
  time.ahead = 100;
  await verifier.refresh();
  one.isUp = false;
  assert.deepEqual(await verifier.refresh(), { applied: "refreshed" });
  assert.deepEqual(await verifier.refresh(), { applied: "refreshed" });
  one.isUp = true;
  other.isUp = false;
  time.ahead += 31;
  await verifier.refresh();
  const sent = tags().map(([, tag]) => tag).filter(Boolean);
  assert.deepEqual(sent, ['"one"', '"one"', '"other"', '"other"']);
});

// S07: a 304 is not signed, so it cannot keep a feed fresh.
test("a server that always answers 304 lets the feed go stale", async () => {
  const { stub, time, verifier } = await start();
  stub.feed = send(base, { etag: '"a"' });
  for (let times = 0; times < 2; times += 1) await verifier.refresh();
  stub.feed = unchanged;
  for (; time.ahead < 580; time.ahead += 20) await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.ok(verifier.status().ageSeconds >= 560);
  time.ahead = 620;
  await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "stale_snapshot");
  stub.feed = send(delta);
  await verifier.refresh();
  assert.equal(verifier.since(), "1.3");
});

// S08, S09: a 304 without a tag in the request is not a valid answer; the held snapshot stays.
test("a 304 to a request without a tag does no harm", async () => {
  const { stub, time, verifier } = await start();
  await verifier.refresh();
  stub.feed = (_, response) => response.writeHead(304, { "content-type": "text/html" }).end();
  await verifier.refresh();
  assert.equal(verifier.since(), "1.2");
  assert.equal(verifier.verifySync(good).code, "valid");
  stub.feed = send(delta);
  time.ahead = 31;
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
});

// E02, E01: without a snapshot nothing can be unchanged: a 304 is a failure, it is reported as one, and there
// is no immediate retry.
test("a 304 to a first request is a failure", async () => {
  const { stub, verifier } = await start();
  stub.feed = unchanged;
  const result = await verifier.refresh();
  assert.ok("error" in result, JSON.stringify(result));
  assert.equal(verifier.status().feed.failures, 1);
  assert.equal(verifier.verifySync(good).code, "no_snapshot");
});

// S08: a tag of any length or shape is sent back unchanged, or not at all.
test("a strange tag does no harm", async () => {
  const { stub, time, verifier } = await start();
  await verifier.refresh();
  for (const etag of ["", "unquoted", '"', `"${"x".repeat(8000)}"`, '"\u00e9"', '"a", "b"', "*"]) {
    stub.feed = send(heartbeat, { etag });
    time.ahead = 100;
    assert.deepEqual(await verifier.refresh(), { applied: "refreshed" }, etag.slice(0, 20));
    assert.deepEqual(await verifier.refresh(), { applied: "refreshed" }, etag.slice(0, 20));
  }
});
