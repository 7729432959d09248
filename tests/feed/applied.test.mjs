// Real verifiers answer a real control plane for what they hold, and only while a request waits for it.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { readFileSync } from "node:fs";
import { startControlPlane } from "../support/control-plane.mjs";
import { eventOf, followStream, openStream, until, verifierOf } from "../support/feed.mjs";
import { ROOT, sign, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";

const plane = await startControlPlane();
const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
const open = [plane];
after(async () => {
  for (const one of open.reverse()) await one.close();
});

async function follow(feed) {
  const verifier = await createVerifier({
    issuer: plane.url, audience: "api", keys: `${plane.url}/.well-known/jwks.json`,
    feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey, ...feed },
  });
  open.push(verifier);
  return verifier;
}

const waitFor = (sub, timeout = 20) => plane.call("POST", `/v1/revocations?wait=applied&timeout=${timeout}`, { sub });

// P01: by stream, long poll and poll: when the answer says that all hold the revocation, all refuse.
test("when a revocation is applied, every verifier refuses", async () => {
  const ways = ["stream", "long-poll", "poll"];
  const verifiers = await Promise.all(ways.map((way) => follow({ follow: way, name: `js-${way}` })));
  assert.ok(await until(() => verifiers[0].status().following === "stream"), "the stream has begun");
  for (let round = 0; round < 3; round += 1) {
    const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub: "alice" });
    for (const verifier of verifiers) assert.equal((await verifier.verify(token)).code, "valid");
    const { applied } = await waitFor("alice");
    assert.deepEqual(verifiers.map((verifier) => verifier.verifySync(token).code), Array(3).fill("revoked_user"));
    assert.deepEqual([applied.complete, applied.holding, applied.silent], [true, 3, []]);
  }
  const { followers } = await plane.call("GET", "/v1/followers");
  assert.deepEqual(followers.map(({ name }) => name).sort(), ["js-long-poll", "js-poll", "js-stream"]);
  const { version } = JSON.parse(readFileSync(`${ROOT}verifier-wasm/package.json`, "utf8"));
  for (const { software } of followers) assert.equal(software, `js/${version}`);
});

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta] } = sign([{ to: 2 }, { from: 2, to: 3, tokens: ["token"] }]);

// P01: it says what it holds, not what was sent; a stream that asks without end gets one answer at a time.
test("a question is answered with the held position, once, and again with what came since", async () => {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  const held = [];
  stub.upstream = (_, response) => void held.push(response);
  const { verifier } = verifierOf({ key, publicKey, url: `${stub.url}/feed` }, {}, { apiKey: "osk_feed", name: "edge" });
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  const stream = stub.stream = openStream();
  const abort = new AbortController();
  const following = followStream(verifier, abort.signal);
  assert.ok(await until(() => stream.followers.size === 1));
  const answers = () => stub.requests.filter(({ path }) => path === "/feed/position");
  stream.write("event: position\ndata: one\n\n");
  assert.ok(await until(() => answers().length === 1));
  for (let count = 0; count < 50; count += 1) stream.write(`event: position\ndata: more${count}\n\n`);
  stream.write(`${eventOf(delta)}event: position\ndata: last\n\n`);
  assert.ok(await until(() => verifier.since() === "1.3"));
  await new Promise((resume) => setTimeout(resume, 50));
  assert.equal(answers().length, 1, "the first answer is not through yet");
  json(held[0], {});
  assert.ok(await until(() => answers().length === 2));
  json(held[1], {});
  const [first, last] = answers();
  assert.deepEqual([first, last].map(({ body }) => JSON.parse(body)), [
    { ask: "one", position: "1.2" }, { ask: "last", position: "1.3" },
  ]);
  assert.equal(first.headers.authorization, "Bearer osk_feed");
  assert.match(first.headers["offswitch-follower"], /^[0-9a-f]{32};software=js\/[\d.]+;staleness=600;name=edge$/);
  const introductions = new Set(stub.requests.filter(({ path }) => path.startsWith("/feed")).map(({ headers }) => headers["offswitch-follower"]));
  assert.equal(introductions.size, 1, "with every request, the same");
  abort.abort();
  await following;
  assert.equal(asked(stub, "/feed/position"), 2);
});

// A verifier that never refuses says so, and one without a key says nothing: no control plane serves it.
test("the introduction is sent with a key only", async () => {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  for (const [feed, expected] of [[{ apiKey: "osk_feed", onStale: "allow" }, /^[0-9a-f]{32};software=js\/[\d.]+$/], [{}, /^undefined$/]]) {
    const { verifier } = verifierOf({ key, publicKey, url: `${stub.url}/feed` }, {}, feed);
    await verifier.refresh();
    assert.match(String(stub.requests.at(-1).headers["offswitch-follower"]), expected);
  }
});
