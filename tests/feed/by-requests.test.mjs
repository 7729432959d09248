// A verifier that follows its feed only by the requests that it judges, as the middlewares do.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { offswitch } from "offswitch/hono";
import { guard } from "offswitch/guard";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { RequestFollower } from "../../verifier-wasm/js/feed/request-follower.js";
import { openStream, optionsOf, eventOf, send, until } from "../support/feed.mjs";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta] } = sign([
  { to: 2 }, { from: 2, to: 3, tokens: ["token"] },
]);
const good = await mint(key);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start() {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  return { stub, options: optionsOf({ key, publicKey, url: `${stub.url}/feed` }) };
}

const headers = { authorization: `Bearer ${good}` };
const pass = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

/** The context that Hono passes to a middleware on Node: it has no executionCtx. */
const nodeContext = () => ({
  req: { raw: new Request("http://app.test/", { headers }) },
  get executionCtx() { throw new Error("This context has no ExecutionContext"); },
  set() {},
  body: (_, status) => status,
});

// D30, N04: Hono on Node, with a verifier that is created as in the Worker pattern.
test("a verifier that only serves requests polls by requests on Node", async () => {
  const { stub, options } = await start();
  const verifier = new Verifier(options);
  open.push(verifier);
  const middleware = offswitch(verifier);
  const ask = () => middleware(nodeContext(), async () => 200);
  assert.equal(verifier.status().following, null);
  assert.equal(await ask(), 200);
  assert.equal(verifier.status().following, "requests");
  stub.feed = send(delta);
  const before = asked(stub, "/feed");
  const revokedAt = performance.now();
  assert.ok(await until(async () => (await ask()) === 401, 10));
  const seconds = (performance.now() - revokedAt) / 1000;
  assert.ok(seconds < 4, `${seconds} s, where one poll a second is configured`);
  assert.ok(asked(stub, "/feed") - before <= Math.ceil(seconds) + 1, "no more polls than are due");
});

// D30: a runtime that ends everything with the answer, and a handler that passes no waitUntil.
test("a due poll runs before the answer if nothing outlives the answer", async () => {
  const { stub, options } = await start();
  const verifier = new Verifier(options);
  open.push(verifier);
  verifier[INTERNALS].followBy((internals) => new RequestFollower(internals));
  const handler = guard(verifier, () => new Response("in"));
  const ask = async () => (await handler(new Request("http://app.test/", { headers }))).status;
  assert.equal(await ask(), 200);
  stub.feed = send(delta);
  assert.equal(await ask(), 200, "no poll within the second of the last one");
  await pass(1100);
  assert.equal(await ask(), 401, "the first request after it");
});

// D30, E04: the feed hangs: one request waits for it, for at most a second; the others do not.
test("a feed that hangs delays one request for a second, and no other", async () => {
  const { stub, options } = await start();
  const verifier = new Verifier(options);
  open.push(verifier);
  verifier[INTERNALS].followBy((internals) => new RequestFollower(internals));
  const handler = guard(verifier, () => new Response("in"));
  const ask = async () => {
    const began = performance.now();
    const { status } = await handler(new Request("http://app.test/", { headers }));
    return { status, milliseconds: performance.now() - began };
  };
  assert.equal((await ask()).status, 200);
  stub.feed = () => {};
  await pass(1100);
  const answers = await Promise.all(Array.from({ length: 5 }, ask));
  assert.deepEqual(answers.map(({ status }) => status), Array(5).fill(200));
  const waited = answers.map(({ milliseconds }) => milliseconds).sort((one, other) => one - other);
  assert.ok(waited[3] < 800 && waited[4] < 3000, waited.join());
});

// If createVerifier follows the feed, requests do not poll.
test("requests do not poll if the feed is already followed", async () => {
  const { stub, options } = await start();
  stub.stream = openStream(eventOf(base));
  const verifier = await createVerifier(options);
  open.push(verifier);
  assert.ok(await until(() => verifier.status().following === "stream"));
  const before = asked(stub, "/feed");
  const middleware = offswitch(verifier);
  for (let tenth = 0; tenth < 15; tenth += 1) {
    assert.equal(await middleware(nodeContext(), async () => 200), 200);
    await pass(100);
  }
  assert.equal(asked(stub, "/feed"), before);
  assert.equal(verifier.status().following, "stream");
});
