// Heads in Workers KV and R2, in real workerd.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { optionsOf, until } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { filesOf } from "../support/head.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge, startWorkerd } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, beat2, delta, beat3] } = sign([
  { to: 2 }, { from: 2, to: 2 }, { from: 2, to: 3, tokens: ["token"] }, { from: 3, to: 3, issued_at: now() + 1 },
]);
const good = await mint(key, { exp: now() + 3600 });
const at2 = filesOf({ base: ["1.2", base], heartbeat: beat2, position: "1.2" });
const at3 = filesOf({ base: ["1.2", base], deltas: [["1.2", "1.3", delta]], heartbeat: beat3, position: "1.3" });
const { feed: { url, ...trust }, ...rest } = optionsOf({ key, publicKey });
const options = { ...rest, feed: trust };
const worker = await startWorkerd("tests/feed/head-entry.mjs", {}, { kvNamespaces: ["KV"], r2Buckets: ["R2"] });
const stores = { KV: await worker.workerd.getKVNamespace("KV"), R2: await worker.workerd.getR2Bucket("R2") };
const open = [worker];
after(async () => {
  for (const one of open) await one.close();
});

/** Writes files in the publisher's order: the head last. */
async function write(place, files, prefix = "") {
  const { head, ...parts } = files;
  for (const [name, bytes] of Object.entries({ ...parts, ...(head && { head }) })) {
    await stores[place].put(prefix + name, new Uint8Array(bytes));
  }
}

async function empty(place) {
  for (const name of Object.keys(at3)) await stores[place].delete(name);
}

/** A round of the worker's verifier; `place` starts a new one there. */
async function ask(more = {}) {
  const body = JSON.stringify({ token: good, ...(more.place && { options }), ...more });
  const response = await fetch(worker.url, { method: "POST", body });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

for (const place of Object.keys(stores)) {
  // P06: from an empty store to a revocation.
  test(`a worker follows a head in ${place}`, async () => {
    await empty(place);
    const none = await ask({ place });
    assert.deepEqual([none.code, none.result.error], ["no_snapshot", "feed_unreachable"]);
    await write(place, at2);
    const first = await ask({ seconds: 31 });
    assert.deepEqual([first.code, first.position, first.result], ["valid", "1.2", { applied: "replaced" }]);
    await write(place, at3);
    assert.deepEqual((await ask()).result, { applied: "extended" });
    assert.equal((await ask()).code, "revoked_token");
  });

  // P06, E10: a store may answer from its past, and that is no failure.
  test(`an old value in ${place} does not take a revocation back`, async () => {
    await write(place, at3);
    assert.equal((await ask({ place })).code, "revoked_token");
    await write(place, { head: at2.head });
    const { code, failures, position } = await ask();
    assert.deepEqual([code, failures, position], ["revoked_token", 0, "1.3"]);
  });

  // P06: the head is seen before its part: a slow write, or one that reaches a place late.
  test(`a part that is missing in ${place} is read once it is there`, async () => {
    await empty(place);
    await write(place, at2);
    await ask({ place });
    await write(place, { head: at3.head });
    const late = await ask();
    assert.deepEqual([late.code, late.position, late.result.error], ["valid", "1.2", "feed_unreachable"]);
    await write(place, at3);
    assert.equal((await ask({ seconds: 31 })).code, "revoked_token");
  });

  // P06: garbage, by mistake of other software.
  test(`garbage in ${place} leaves the held state`, async () => {
    await write(place, at2);
    await ask({ place });
    await stores[place].put("head", "rubbish".repeat(20_000));
    assert.equal((await ask()).result.error, "feed_unreachable");
    await stores[place].put("head", "rubbish");
    assert.equal((await ask({ seconds: 31 })).result.error, "head_malformed");
    await write(place, at3);
    assert.equal((await ask({ seconds: 31 })).code, "revoked_token");
  });

  test(`the names in ${place} may have a prefix`, async () => {
    await write(place, at3, "eu/");
    assert.equal((await ask({ place, prefix: "eu/" })).code, "revoked_token");
    assert.equal((await ask({ place, prefix: "us/" })).result.error, "feed_unreachable");
  });

  // P06: slow reads delay, and nothing else.
  test(`a slow ${place} is read to its end`, async () => {
    await write(place, at3);
    assert.equal((await ask({ place, delay: 200 })).code, "revoked_token");
  });

  // P06, S15: as polls: the requests follow the head, with waitUntil.
  test(`requests follow a head in ${place}`, async () => {
    await empty(place);
    await write(place, at2);
    assert.equal((await ask({ place })).code, "valid");
    const headers = { authorization: `Bearer ${good}` };
    const status = async () => (await fetch(`${worker.url}/guarded`, { headers })).status;
    assert.equal(await status(), 200);
    await write(place, at3);
    const began = performance.now();
    assert.ok(await until(async () => (await status()) === 401, 10));
    assert.ok(performance.now() - began < 5000, "one poll a second is configured");
  });
}

// P06: the whole edge worker, with a namespace that is bound by the name of its setting.
test("the edge worker follows a head in KV", async () => {
  const stub = await startStub({ jwks: { keys: [key.jwk] } });
  const edge = await startEdge(stub, publicKey, { OFFSWITCH_FEED_URL: "", OFFSWITCH_FEED_HEAD_PREFIX: "feed/" },
    { kvNamespaces: ["OFFSWITCH_FEED_HEAD"] });
  open.push(edge, stub);
  const kv = await edge.workerd.getKVNamespace("OFFSWITCH_FEED_HEAD");
  const put = async ({ head, ...parts }) => {
    for (const [name, bytes] of Object.entries({ ...parts, head })) await kv.put(`feed/${name}`, new Uint8Array(bytes));
  };
  await put(at2);
  const headers = { authorization: `Bearer ${good}` };
  const ask = async () => (await fetch(`${edge.url}/`, { headers })).status;
  assert.equal(await ask(), 200);
  await put(at3);
  assert.ok(await until(async () => (await ask()) === 401, 15));
});
