// KV and the Cache API as places, in real workerd.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { optionsOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { packed, positionIn } from "../support/places.mjs";
import { startStub } from "../support/stub.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta, second, third] } = sign([
  { to: 2, valid_until: now() + 86_400 },
  { from: 2, to: 3, tokens: ["token"], valid_until: now() + 86_400 },
  { from: 3, to: 4, valid_until: now() + 86_400 },
  { from: 4, to: 5, valid_until: now() + 86_400 },
]);
const good = await mint(key, { exp: now() + 80_000 });
const stub = await startStub();
const edge = await startWorkerd("tests/feed/store-entry.mjs", {}, { kvNamespaces: ["PLACE"] });
const kv = await edge.workerd.getKVNamespace("PLACE");
after(async () => {
  await edge.close();
  await stub.close();
});

const parts = { key, publicKey, url: `${stub.url}/feed` };
const options = optionsOf(parts, {}, { maxStaleness: 86_400 });

/** Makes the feed answer with `bytes`, or fail without; `place` starts a new verifier there. */
async function ask(bytes, place) {
  stub.isUp = bytes !== undefined;
  stub.snapshot = bytes;
  const body = JSON.stringify({ options: place && options, place, seconds: 61, token: good });
  const response = await fetch(edge.url, { method: "POST", body });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

for (const place of ["kv", "cache"]) {
  // S03, E02: the next isolate gets the values that one isolate has stored, without the feed.
  test(`a verifier that restarts on its ${place} has its previous state`, async () => {
    assert.deepEqual(await ask(base, place), {
      result: { applied: "replaced" }, code: "valid", position: "1.2",
    });
    assert.equal((await ask(delta)).code, "revoked_token");
    const { code, position, result } = await ask(undefined, place);
    assert.deepEqual([code, position, result.error], ["revoked_token", "1.3", "feed_unreachable"]);
    assert.deepEqual(await ask(second), {
      result: { applied: "extended" }, code: "revoked_token", position: "1.4",
    });
  });
}

const bytesIn = async (name) => new Uint8Array(await kv.get(name, "arrayBuffer"));

// S03: its names have a prefix, so that other software can share the namespace.
test("the names in KV have a prefix", async () => {
  const { keys } = await kv.list();
  assert.deepEqual(keys.map(({ name }) => name), ["offswitch:floor", "offswitch:snapshots"]);
  assert.equal(positionIn(await bytesIn("offswitch:floor")), "1.4");
});

// E10: KV may return a value from a minute ago; it is ignored, and the feed counts.
test("a KV that is behind does not lower the floor of a running verifier", async () => {
  const names = ["offswitch:floor", "offswitch:snapshots"];
  for (const name of names) await kv.delete(name);
  await ask(base, "kv");
  const early = [await bytesIn(names[0]), await bytesIn(names[1])];
  for (const bytes of [delta, second]) await ask(bytes);
  for (const [nth, name] of names.entries()) await kv.put(name, early[nth]);
  assert.equal((await ask(base)).position, "1.4");
  assert.equal((await ask(third)).position, "1.5");
  assert.equal(positionIn(await bytesIn("offswitch:floor")), "1.5");
});

// E10, E01: a verifier that starts with old values does not treat them as new.
test("a KV whose snapshots are behind the floor is not enough for a verdict", async () => {
  await kv.put("offswitch:snapshots", packed(base));
  const { code, position } = await ask(undefined, "kv");
  assert.deepEqual([code, position], ["no_snapshot", "1.2"]);
  assert.equal((await ask(delta)).code, "revoked_token");
});

// S09: a namespace full of garbage.
test("a KV full of garbage only makes the start slower", async () => {
  await kv.put("offswitch:floor", "rubbish");
  await kv.put("offswitch:snapshots", "rubbish".repeat(10_000));
  assert.deepEqual(await ask(base, "kv"), {
    result: { applied: "replaced" }, code: "valid", position: "1.2",
  });
});

/** Sends requests to a worker that has not read its store yet; the store takes `delay` to read. */
async function crowd(delay, { abortFirst = false } = {}) {
  stub.isUp = true;
  stub.snapshot = base;
  const post = (more, signal) =>
    fetch(edge.url, { method: "POST", signal, body: JSON.stringify({ token: good, ...more }) });
  const abort = new AbortController();
  const first = post({ options, place: "kv", delay }, abort.signal);
  await new Promise((resume) => setTimeout(resume, 150));
  const others = Array.from({ length: 10 }, () => post({}));
  if (abortFirst) {
    await new Promise((resume) => setTimeout(resume, 100));
    abort.abort();
    await assert.rejects(first, { name: "AbortError" });
  }
  const answers = await Promise.all([...(abortFirst ? [] : [first]), ...others]);
  return Promise.all(answers.map((answer) => answer.json()));
}

// S03, E04: the first requests arrive together, and the feed is below the stored floor.
test("requests that arrive while the floor is read wait for it", async () => {
  await kv.put("offswitch:floor", new Uint8Array(delta));
  await kv.put("offswitch:snapshots", packed(base, delta));
  for (const { code, position } of await crowd(1000)) {
    assert.deepEqual([code, position], ["revoked_token", "1.3"]);
  }
});

// S03, E04: the request that reads is cut off, and its read never completes.
test("a client that aborts while the floor is read leaves the reading to another", async () => {
  await kv.put("offswitch:floor", new Uint8Array(delta));
  await kv.put("offswitch:snapshots", packed(base, delta));
  for (const { code, position } of await crowd(1000, { abortFirst: true })) {
    assert.deepEqual([code, position], ["revoked_token", "1.3"]);
  }
});
