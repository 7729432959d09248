// Cold starts of the edge worker, with one request and with many. Real workerd, real aborted connections.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta, next] } = sign([
  { to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 3, to: 3 },
]);
const headers = { authorization: `Bearer ${await mint(key)}` };
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(more) {
  const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
  const edge = await startEdge(stub, publicKey, more);
  open.push(edge, stub);
  return { stub, edge };
}

const sleep = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

async function until(milliseconds, holds) {
  for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(50)) {
    if (await holds()) return true;
  }
  return false;
}

// E02: a worker that starts while the control plane is down cannot decide; it recovers without help.
test("a worker that starts without a control plane answers 503 and recovers alone", async () => {
  const { stub, edge } = await start();
  stub.isUp = false;
  for (let count = 0; count < 3; count += 1) {
    const response = await fetch(edge.url, { headers });
    assert.equal(response.status, 503);
    assert.equal(response.headers.get("retry-after"), "1");
    assert.equal((await response.json()).code, "no_keys");
  }
  stub.isUp = true;
  assert.ok(await until(10_000, async () => (await fetch(edge.url, { headers })).status === 200));
});

// S14: while the control plane is down it gets few requests, however many the worker gets.
test("a control plane that is down is polled with growing pauses", async () => {
  const { stub, edge } = await start();
  stub.isUp = false;
  for (const end = Date.now() + 2000; Date.now() < end; await sleep(5)) {
    await (await fetch(edge.url, { headers })).text();
  }
  assert.ok(asked(stub, "/jwks") <= 6, `${asked(stub, "/jwks")} tries in 2 s`);
});

// E04: the first request is aborted during its fetch; no other request waits for that fetch.
test("50 concurrent cold requests all get an answer although the first was aborted", async () => {
  const { stub, edge } = await start();
  let held = 0;
  stub.feed = (_, response) => {
    held += 1;
    if (held === 1) return; // never answered: only the request that sent it may hang
    response.setHeader("content-type", "application/octet-stream").end(base);
  };
  const abort = new AbortController();
  const first = fetch(edge.url, { headers, signal: abort.signal }).catch((error) => error.name);
  assert.ok(await until(5000, () => held === 1));
  const crowd = Array.from({ length: 50 }, () => fetch(edge.url, { headers, signal: AbortSignal.timeout(4000) }));
  await sleep(20);
  abort.abort();
  assert.equal(await first, "AbortError");
  const statuses = await Promise.all(crowd.map(async (one) => (await one).status));
  assert.deepEqual(statuses, Array(50).fill(200));
  assert.equal((await fetch(edge.url, { headers })).status, 200);
});

// E04: the request that holds the polling lease is aborted; the next ones poll again.
test("an aborted request does not stop the feed from being followed", async () => {
  const { stub, edge } = await start({ OFFSWITCH_POLL_SECONDS: "0.05" });
  assert.equal((await fetch(edge.url, { headers })).status, 200);
  const abort = new AbortController();
  const gone = fetch(`${edge.url}/slow`, { headers, signal: abort.signal }).catch(() => {});
  abort.abort();
  await gone;
  stub.feed = (request, response) => {
    const since = new URL(request.url, stub.url).searchParams.get("since");
    response.setHeader("content-type", "application/octet-stream").end(since === "1.2" ? delta : next);
  };
  assert.ok(await until(8000, async () => (await fetch(edge.url, { headers })).status === 401));
});

// A base may be as old as the interval of bases. A cold isolate must not decide by it alone: a token
// that was revoked since would be good again.
test("a cold isolate refuses a token that was revoked after the base", async () => {
  const { stub, edge } = await start();
  stub.feed = (request, response) => {
    const since = new URL(request.url, stub.url).searchParams.get("since");
    response.setHeader("content-type", "application/octet-stream").end(since === "1.2" ? delta : base);
  };
  const response = await fetch(edge.url, { headers });
  assert.equal((await response.json()).code, "revoked_token");
});

// S15: with long polling one request's waitUntil keeps listening after its answer.
test("a long poll brings a revocation with no further request", async () => {
  const { stub, edge } = await start({ OFFSWITCH_LONG_POLL_SECONDS: "20" });
  const waiting = [];
  stub.feed = (request, response) => {
    response.setHeader("content-type", "application/octet-stream");
    const { searchParams } = new URL(request.url, stub.url);
    // The base, and what came after it: the verdict of the first request waits for both.
    if (!searchParams.has("wait")) return void response.end(base);
    if (searchParams.get("since") === "1.2") waiting.push(response);
  };
  assert.equal((await fetch(edge.url, { headers })).status, 200);
  assert.ok(await until(3000, () => waiting.length === 1));
  for (let count = 0; count < 5; count += 1) await (await fetch(edge.url, { headers })).text();
  assert.equal(waiting.length, 1, "one listener at a time");
  waiting[0].end(delta);
  await sleep(100);
  const response = await fetch(edge.url, { headers });
  assert.equal((await response.json()).code, "revoked_token");
});

// S14: a feed that ignores `wait` is not polled in a tight loop.
test("a feed that never waits is polled with pauses", async () => {
  const { stub, edge } = await start({ OFFSWITCH_LONG_POLL_SECONDS: "20" });
  await (await fetch(edge.url, { headers })).text();
  await sleep(1500);
  assert.ok(asked(stub, "/feed") <= 20, `${asked(stub, "/feed")} polls in 1.5 s`);
});
