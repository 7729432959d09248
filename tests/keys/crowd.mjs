// 100 requests at the same time, over real connections, with tokens of a key that the server does not have yet.
// One list of cases for each runtime of the package. I16, D102.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";

const SIZE = 100;
const [old, next, last] = await Promise.all(["old", "next", "last"].map((kid) => signingKey("ES256", kid)));
const never = await mint(await signingKey("ES256", "never"));
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const [ofOld, ofNext, ofLast] = await Promise.all([old, next, last].map((key) => mint(key)));
const sleep = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));
const set = (...keys) => ({ keys: keys.map(({ jwk }) => jwk) });

/**
 * @param {string} place
 * @param {(stub: object, publicKey: string) => Promise<{ url: string, close: () => unknown }>} serve starts a
 * server that uses the stub's keys and feed
 */
export function crowds(place, serve) {
  const open = [];
  after(async () => {
    for (const one of open) await one.close();
  });

  /** A server that has the old key, and may fetch the set again. */
  async function start(jwks = set(old)) {
    const stub = await startStub({ jwks, snapshot: base });
    const server = await serve(stub, publicKey);
    open.push(server, stub);
    if (jwks.keys) {
      assert.deepEqual(await crowd(server, ofOld, 1), { "200 served": 1 });
      await sleep(2100); // the cooldown of the first fetch
    }
    const before = asked(stub, "/jwks");
    return { stub, crowd: (token, size) => crowd(server, token, size), fetches: () => asked(stub, "/jwks") - before };
  }

  // I16
  test(`${place}: all wait for one fetch of a slow key set, and are served`, async () => {
    const { stub, crowd: ask, fetches } = await start();
    stub.jwks = async (_, response) => {
      await sleep(1200);
      json(response, set(old, next));
    };
    const [unknown, known] = await Promise.all([ask(ofNext), ask(ofOld)]);
    assert.deepEqual([unknown, known, fetches()], [{ "200 served": SIZE }, { "200 served": SIZE }, 1]);
  });

  // I16: each fetch brings one more key, and a key that the server has needs no fetch.
  test(`${place}: each new key of a growing set is fetched`, async () => {
    const { stub, crowd: ask, fetches } = await start();
    const published = [old];
    stub.jwks = (_, response) => {
      published.push(published.length === 1 ? next : last);
      json(response, set(...published));
    };
    for (const [token, fetched] of [[ofNext, 1], [ofLast, 2], [ofNext, 2], [ofOld, 2]]) {
      assert.deepEqual([await ask(token), fetches()], [{ "200 served": SIZE }, fetched]);
    }
  });

  // I16, E01, invariant 6: the server cannot know which keys the issuer has.
  for (const [name, answer] of Object.entries({
    "is down": (_, response) => void response.destroy(),
    "is a page of HTML": (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
  })) {
    test(`${place}: a key set that ${name} leaves a new key undecided, and known keys good`, async () => {
      const { stub, crowd: ask, fetches } = await start();
      stub.jwks = answer;
      const [unknown, known] = await Promise.all([ask(ofNext), ask(ofOld)]);
      assert.deepEqual([unknown, known], [{ "503 keys_unavailable": SIZE }, { "200 served": SIZE }]);
      assert.ok(fetches() <= 3, `${fetches()} fetches`);
    });
  }

  // I16: the server has no key of the issuer at all.
  test(`${place}: a server that never had a key set answers 503, and serves once there is one`, async () => {
    const { stub, crowd: ask, fetches } = await start((_, response) => void response.destroy());
    assert.deepEqual(await ask(ofOld), { "503 no_keys": SIZE });
    assert.ok(fetches() <= 3, `${fetches()} fetches`);
    stub.jwks = set(old);
    const end = Date.now() + 15_000;
    while ((await ask(ofOld, 1))["200 served"] !== 1) assert.ok(Date.now() < end, "it recovers alone");
  });

  // D15: an empty set is what the issuer publishes now.
  test(`${place}: an empty set means that the issuer accepts no key`, async () => {
    const { stub, crowd: ask, fetches } = await start();
    stub.jwks = { keys: [] };
    assert.deepEqual(await ask(ofNext), { "401 unknown_key": SIZE });
    // Requests that arrived after the first fetch had begun are refused only after another one.
    assert.ok(fetches() <= 2, `${fetches()} fetches`);
    assert.deepEqual(await ask(ofOld), { "401 unknown_key": SIZE });
  });

  // I16: an attacker can make up any kid. Under any load, this costs the issuer one fetch every two seconds.
  test(`${place}: a kid that does not exist is refused without a fetch for each request`, async () => {
    const { crowd: ask, fetches } = await start();
    const began = Date.now();
    let served = 0;
    for (let round = 0; round < 2; round += 1) {
      const [unknown, known] = await Promise.all([ask(never), ask(ofOld)]);
      assert.deepEqual([unknown, known], [{ "401 unknown_key": SIZE }, { "200 served": SIZE }]);
      served += SIZE;
    }
    const most = 1 + Math.ceil((Date.now() - began) / 2000);
    assert.ok(fetches() <= most, `${fetches()} fetches for ${served} requests, at most ${most}`);
  });
}

/** Sends `size` requests at the same time; counts the answers. */
async function crowd({ url }, token, size = SIZE) {
  const headers = { authorization: `Bearer ${token}` };
  const counts = {};
  const asking = Array.from({ length: size }, () => fetch(url, { headers, signal: AbortSignal.timeout(20_000) }));
  for (const answer of await Promise.all(asking)) {
    const { code = "served" } = await answer.json();
    counts[`${answer.status} ${code}`] = (counts[`${answer.status} ${code}`] ?? 0) + 1;
    if (answer.status === 503) assert.match(answer.headers.get("retry-after"), /^[1-9][0-9]*$/);
  }
  return counts;
}
