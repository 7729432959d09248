// Tokens of an unknown key, through the edge worker: requests share no promise there, and each may
// be cut off at any time. I16, D102. Real workerd, real aborted connections.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const old = await signingKey("EdDSA", "old");
const next = await signingKey("ES256", "next");
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const headers = { authorization: `Bearer ${await mint(next)}` };
const known = { authorization: `Bearer ${await mint(old)}` };
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

const sleep = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));
const slow = (set, milliseconds) => async (_, response) => {
  await sleep(milliseconds);
  json(response, set);
};

/** A worker that has the old key, and whose issuer has published the next one since. */
async function start() {
  const stub = await startStub({ jwks: { keys: [old.jwk] }, snapshot: base });
  const edge = await startEdge(stub, publicKey);
  open.push(edge, stub);
  assert.equal((await fetch(edge.url, { headers: known })).status, 200);
  await sleep(2100); // the cooldown of the first fetch
  stub.jwks = { keys: [old.jwk, next.jwk] };
  const before = asked(stub, "/jwks");
  return { edge, stub, fetches: () => asked(stub, "/jwks") - before };
}

async function crowd(edge, size = 100) {
  const asking = Array.from({ length: size }, () => fetch(edge.url, { headers, signal: AbortSignal.timeout(20_000) }));
  const counts = {};
  for (const answer of await Promise.all(asking)) {
    const { code = "served" } = await answer.json();
    counts[`${answer.status} ${code}`] = (counts[`${answer.status} ${code}`] ?? 0) + 1;
    assert.equal(answer.headers.get("retry-after") !== null, answer.status === 503);
  }
  return counts;
}

// I16, D102
test("100 requests with a new key wait for one fetch of the worker", async () => {
  const { edge, stub, fetches } = await start();
  stub.jwks = slow({ keys: [old.jwk, next.jwk] }, 1500);
  assert.deepEqual(await crowd(edge), { "200 served": 100 });
  assert.equal(fetches(), 1);
});

// I16: immediately after the previous fetch, as after a red button.
test("100 requests with a new key wait for the next fetch of the worker", async () => {
  const { edge, stub, fetches } = await start();
  stub.jwks = { keys: [old.jwk] };
  const never = await mint(await signingKey("EdDSA", "never"));
  const refused = await fetch(edge.url, { headers: { authorization: `Bearer ${never}` } });
  assert.deepEqual([refused.status, (await refused.json()).code], [401, "unknown_key"]);
  stub.jwks = { keys: [next.jwk] };
  assert.deepEqual(await crowd(edge), { "200 served": 100 });
  assert.equal(fetches(), 2);
});

const FAILURES = {
  "is down": (_, response) => void response.destroy(),
  "answers 500": (_, response) => void response.writeHead(500).end(),
  "is wrong": (_, response) => json(response, { keys: "none" }),
  "redirects": (_, response) => void response.writeHead(307, { location: "/up/jwks" }).end(),
};
for (const [name, answer] of Object.entries(FAILURES)) {
  // I16, E01, invariant 6
  test(`while the key set ${name}, the worker answers 503 for a new key and serves known ones`, async () => {
    const { edge, stub, fetches } = await start();
    stub.jwks = answer;
    assert.deepEqual(await crowd(edge), { "503 keys_unavailable": 100 });
    assert.ok(fetches() <= 3, `${fetches()} fetches`);
    assert.equal((await fetch(edge.url, { headers: known })).status, 200);
    stub.jwks = { keys: [old.jwk, next.jwk] };
    const end = Date.now() + 15_000;
    while ((await fetch(edge.url, { headers })).status !== 200) assert.ok(Date.now() < end, "it recovers alone");
  });
}

// E04, D102: the request that fetches is gone, and its fetch never gets an answer.
test("a client that aborts while the keys are fetched affects no other", async () => {
  const { edge, stub } = await start();
  let held = 0;
  stub.jwks = (_, response) => {
    held += 1;
    if (held > 1) json(response, { keys: [old.jwk, next.jwk] }); // only the first is never answered
  };
  const abort = new AbortController();
  const first = fetch(edge.url, { headers, signal: abort.signal }).catch((error) => error.name);
  while (held === 0) await sleep(20);
  const others = crowd(edge);
  await sleep(100);
  abort.abort();
  assert.equal(await first, "AbortError");
  assert.deepEqual(await others, { "200 served": 100 });
  assert.equal(held, 2, "one of the others took over, once");
});

// E04: many requests start and abort, and none of them leaves anything that another would wait for.
test("clients that abort all the time leave the worker able to fetch keys", async () => {
  const { edge, stub } = await start();
  stub.jwks = slow({ keys: [old.jwk] }, 200);
  for (let round = 0; round < 20; round += 1) {
    const signal = AbortSignal.timeout(30 + 10 * round);
    await fetch(edge.url, { headers, signal }).catch(() => {});
  }
  stub.jwks = { keys: [old.jwk, next.jwk] };
  const counts = await crowd(edge);
  assert.equal(counts["401 unknown_key"], undefined, JSON.stringify(counts));
  assert.ok(counts["200 served"] === 100, JSON.stringify(counts));
});
