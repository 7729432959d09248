// The verifier as a JavaScript program uses it.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Verifier, createVerifier } from "offswitch";
import { send, until } from "../support/feed.mjs";
import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta] } = sign([{ to: 2, tokens: ["gone"] }, { from: 2, to: 3, tokens: ["token"] }]);
const options = (more = {}, feed = {}) => ({
  issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] }, ...more,
  feed: {
    url: "http://feed.invalid/feed", id: "feed", publicKeys: [publicKey], maxStaleness: 600,
    ...feed,
  },
});
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
after(stub.close);
const good = await mint(key);

// X16: the clock is checked at every read.
test("a clock that is not a finite time decides nothing", () => {
  for (const time of [NaN, -1, Infinity]) {
    const verifier = new Verifier(options({ clock: () => time }));
    assert.throws(() => verifier.verifySync(good), /now must be unix seconds/);
  }
});

// E07: whichever keys tokens name, the set is fetched once per cooldown; known keys stay.
test("10,000 unknown keys cause one fetch per cooldown", async () => {
  const feed = { url: `${stub.url}/feed` };
  const verifier = new Verifier(options({ keys: `${stub.url}/jwks` }, feed));
  await verifier.refresh();
  const before = asked(stub, "/jwks");
  const [, payload, signature] = good.split(".");
  const forge = (kid) => {
    const header = JSON.stringify({ alg: "EdDSA", kid, typ: "at+jwt" });
    return `${Buffer.from(header).toString("base64url")}.${payload}.${signature}`;
  };
  const began = performance.now();
  const forged = Array.from({ length: 10_000 }, (_, index) => verifier.verify(forge(`k${index}`)));
  const codes = new Set((await Promise.all(forged)).map(({ code }) => code));
  // Of this many concurrent tokens some are not even searched for: those are undecided.
  assert.deepEqual([...codes].sort(), ["keys_unavailable", "unknown_key"]);
  const most = 1 + Math.floor((performance.now() - began) / 2000);
  assert.ok(asked(stub, "/jwks") - before <= most, `${asked(stub, "/jwks") - before} fetches`);
  assert.equal(verifier.verifySync(good).code, "valid");
  const next = await signingKey("ES256", "next");
  stub.jwks = { keys: [key.jwk, next.jwk] };
  await new Promise((resume) => setTimeout(resume, 5_000));
  assert.equal((await verifier.verify(await mint(next))).code, "valid");
  stub.jwks = { keys: [key.jwk] };
});

// V17, S13: the answer to the first request arrives last, and is older.
test("a late key set does not replace a newer one", async () => {
  const next = await signingKey("EdDSA", "next");
  const token = await mint(next);
  const late = await startStub();
  after(late.close);
  let answerLate;
  late.jwks = (_, response) => { answerLate = () => json(response, { keys: [key.jwk] }); };
  const verifier = new Verifier(options({ keys: `${late.url}/jwks` }));
  verifier.apply(base);
  const first = verifier.refreshKeys();
  assert.ok(await until(() => answerLate !== undefined));
  late.jwks = { keys: [next.jwk] };
  assert.equal(await verifier.refreshKeys(), true);
  const codes = () => [token, good].map((one) => verifier.verifySync(one).code);
  assert.deepEqual(codes(), ["valid", "unknown_key"]);
  answerLate();
  await first;
  assert.deepEqual(codes(), ["valid", "unknown_key"], "the withdrawn key stays withdrawn");
  late.jwks = { keys: [key.jwk, next.jwk] };
  await verifier.refreshKeys();
  assert.deepEqual(codes(), ["valid", "valid"]);
});

// E08: repeated applying does not make the memory grow.
test("1000 swaps of the base leave the memory as it was", () => {
  const orders = Array.from({ length: 1100 }, (_, index) => ({ to: index + 1, extra: 2_000 }));
  const { snapshots } = sign(orders);
  const verifier = new Verifier(options());
  const swap = (bytes) => assert.deepEqual(verifier.apply(bytes), { applied: "replaced" });
  snapshots.slice(0, 100).forEach(swap);
  const before = verifier.status().instance.memoryBytes;
  snapshots.slice(100).forEach(swap);
  assert.equal(verifier.status().instance.memoryBytes, before);
});

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
/** Bytes in array buffers, without wasm's memory. */
function outside() {
  // Buffers found by one collection are only freed by the next one.
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

// E08: the only copy of the base is the one in wasm's memory.
test("memory holds one copy of the base, and two only while it is replaced", () => {
  const orders = [1, 2, 3, 4].map((to) => ({ to, extra: 150_000 }));
  const { publicKey: feedKey, snapshots } = sign([...orders, { from: 4, to: 4 }]);
  const size = snapshots[0].length;
  const heartbeat = snapshots.pop();
  const verifier = new Verifier(options({}, { publicKeys: [feedKey] }));
  const memory = () => verifier.status().instance.memoryBytes;
  const [before, others] = [memory(), outside() - size * snapshots.length];
  for (let bytes; (bytes = snapshots.shift()) !== undefined; ) {
    assert.deepEqual(verifier.apply(bytes), { applied: "replaced" });
  }
  assert.deepEqual(verifier.apply(heartbeat), { applied: "refreshed" });
  assert.ok(memory() - before < 2.2 * size, `${(memory() - before) / size} times the base`);
  const kept = (outside() - others) / size;
  assert.ok(kept < 0.1, `${kept} times the base outside wasm`);
});

// V13, X21: deep nesting and huge input are refused normally; the instance survives.
test("hostile tokens do not harm the instance", async () => {
  const verifier = new Verifier(options());
  verifier.apply(base);
  const deep = Buffer.from("[".repeat(1_000_000)).toString("base64url");
  const [header, , signature] = good.split(".");
  const dots = ".".repeat(10_000_000);
  for (const token of [dots, `${header}.${deep}.${signature}`, `${deep}.a.b`, "\ud800.\udc00.x"]) {
    assert.equal(verifier.verifySync(token).code, "malformed");
  }
  assert.equal(verifier.verifySync(good).code, "valid");
});

// E02: a long-lived runtime starts without its control plane and recovers without help.
test("createVerifier follows the feed through an outage", async () => {
  stub.isUp = false;
  const feed = { url: `${stub.url}/feed`, pollSeconds: 0.05 };
  const verifier = await createVerifier(options({ keys: `${stub.url}/jwks` }, feed));
  assert.deepEqual([verifier.verifySync(good).code, verifier.isReady], ["no_keys", false]);
  stub.isUp = true;
  assert.ok(await until(() => verifier.isReady, 60));
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.deepEqual(Object.keys(verifier.verifySync(good).evidence), ["position", "ageSeconds"]);
  verifier.close();
  assert.throws(() => verifier.verifySync(good), /closed/);
});

// A base may be as old as the interval of bases: by it alone a token that was revoked since would be good again.
test("createVerifier decides nothing before it has what came after the base", async () => {
  const feedStub = await startStub({});
  feedStub.feed = (request, response) => send(request.url.includes("since=1.2") ? delta : base)(request, response);
  const verifier = await createVerifier(options({}, { url: `${feedStub.url}/feed`, follow: "poll", pollSeconds: 30 }));
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  verifier.close();
  await feedStub.close();
});
