// The rules by which the Rust client asks: how often, whom, and for how long.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { send, until } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startRustClient } from "../support/rust-client.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const CHAIN = 40;
const { publicKey, snapshots } = sign([
  { to: 2 }, { from: 2, to: 2 }, ...Array.from({ length: CHAIN }, (_, at) => ({ from: 2 + at, to: 3 + at })),
]);
const [base, heartbeat, ...deltas] = snapshots;
const good = await mint(key);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(stubs, feed, more = {}) {
  const url = stubs.map((stub) => `${stub.url}/feed`);
  const client = await startRustClient({ key, publicKey, url }, { pollSeconds: 0.2, ...feed }, more);
  open.push(client);
  assert.ok(await until(async () => (await client.status()).position === "1.2"));
  return client;
}

async function stubOf(state = {}) {
  const stub = Object.assign(await startStub({ snapshot: base }), state);
  open.push(stub);
  return stub;
}

const pause = (seconds) => new Promise((resume) => setTimeout(resume, seconds * 1000));
const searches = (stub) => stub.requests.filter(({ path }) => path === "/feed").map(({ search }) => search);

// S14
test("the Rust client: a feed that fails is asked less and less often", async () => {
  const stub = await stubOf();
  const client = await start([stub], { follow: "poll" });
  stub.feed = send("", {}, 500);
  const before = asked(stub, "/feed");
  await pause(4);
  const count = asked(stub, "/feed") - before;
  assert.ok(count >= 2 && count <= 8, `${count} requests in 4 s`);
  stub.feed = send(heartbeat);
  assert.ok(await until(async () => asked(stub, "/feed") > before + count + 3), "it is asked as often again");
  assert.equal(await client.check(good), "valid");
});

// S14
test("the Rust client: a feed that asks for a pause gets it", async () => {
  const stub = await stubOf();
  await start([stub], { follow: "poll" });
  const before = asked(stub, "/feed");
  stub.feed = send("", { "retry-after": "4" }, 503);
  assert.ok(await until(() => asked(stub, "/feed") > before));
  await pause(0.5);
  const count = asked(stub, "/feed");
  await pause(3);
  assert.equal(asked(stub, "/feed"), count);
  assert.ok(await until(() => asked(stub, "/feed") > count), "then it is asked again");
});

// G08, S19: half of the time that a snapshot may be old is left for the others.
test("the Rust client: an address that is frozen is left in time", async () => {
  const [frozen, fair] = [await stubOf(), await stubOf()];
  const orders = Array.from({ length: 20 }, (_, at) => ({ from: 2, to: 2, issued_at: now() + at }));
  const [first, beats] = [now(), sign(orders).snapshots];
  const { snapshots: [young] } = sign([{ to: 2 }]);
  frozen.snapshot = young;
  fair.feed = (request, response) => {
    const at = Math.min(now() - first, beats.length - 1);
    send(request.url.includes("since=") ? beats[at] : young)(request, response);
  };
  const client = await start([frozen, fair], { follow: "poll", maxStaleness: 6 });
  for (const end = performance.now() + 9000; performance.now() < end; await pause(0.1)) {
    assert.equal(await client.check(good), "valid");
  }
  assert.equal((await client.status()).feed.url, `${fair.url}/feed`);
});

// S14
test("the Rust client: a plain poll follows a long poll that failed", async () => {
  const stub = await stubOf();
  const feed = { follow: "long-poll", longPollSeconds: 20, timeoutSeconds: 5 };
  await start([stub], feed);
  let failed;
  stub.feed = (request, response) => {
    const isLong = request.url.includes("wait=");
    if (isLong) failed ??= asked(stub, "/feed");
    (isLong ? send("", {}, 500) : send(heartbeat))(request, response);
  };
  assert.ok(await until(() => failed !== undefined && asked(stub, "/feed") > failed));
  assert.equal(searches(stub)[failed], "?since=1.2");
});

// S14: a proxy that cuts off what takes long is no failure of the feed, and the next long poll is shorter.
test("the Rust client: a long poll that is cut off is followed by a plain one, and a shorter one", async () => {
  const stub = await stubOf();
  stub.feed = (request, response) => {
    if (!request.url.includes("since=")) return void send(base)(request, response);
    if (!request.url.includes("wait=")) return void send(heartbeat)(request, response);
    setTimeout(() => request.socket.destroy(), 4000);
  };
  const client = await start([stub], { follow: "long-poll", longPollSeconds: 20, timeoutSeconds: 30 });
  const waits = () => searches(stub).map((one) => /wait=(\d+)/.exec(one)?.[1]);
  assert.ok(await until(() => waits().filter(Boolean).length === 2, 30));
  const [long, short] = waits().filter(Boolean).map(Number);
  assert.equal(long, 20);
  assert.ok(short < 4, `${short} s`);
  assert.equal(waits()[waits().indexOf("20") + 1], undefined, "a plain one in between");
  assert.equal((await client.status()).feed.failures, 0);
});

// S14: a server that answers each long poll immediately is not asked without a pause.
test("the Rust client: long polls have a least distance", async () => {
  const stub = await stubOf();
  stub.feed = (request, response) => {
    const seq = Number(/since=1\.(\d+)/.exec(request.url)?.[1] ?? 0);
    send(seq === 0 ? base : deltas[seq - 2] ?? heartbeat)(request, response);
  };
  const client = await startRustClient(
    { key, publicKey, url: `${stub.url}/feed` }, { follow: "long-poll", pollSeconds: 30, longPollSeconds: 20 },
  );
  open.push(client);
  const seq = async () => Number((await client.status()).position?.split(".")[1] ?? 0);
  assert.ok(await until(async () => (await seq()) >= 3));
  const before = await seq();
  await pause(2);
  const count = (await seq()) - before;
  assert.ok(count >= 1 && count <= 11, `${count} answers in 2 s`);
});

// V17: tokens that are refused push nothing out of what is remembered, and that has a bound.
test("the Rust client: only valid tokens are remembered, and no more than that many", async () => {
  const stub = await stubOf();
  const client = await start([stub], { follow: "poll" }, { rememberedTokens: 5 });
  for (let at = 0; at < 3; at += 1) await client.check(await mint(key, { jti: `old${at}`, exp: now() - 100 }));
  assert.equal((await client.status()).remembered, 0);
  assert.equal(await client.check(good), "valid");
  assert.equal((await client.status()).remembered, 1);
  for (let at = 0; at < 50; at += 1) assert.equal(await client.check(await mint(key, { jti: `new${at}` })), "valid");
  assert.ok((await client.status()).remembered <= 5);
});

// I16: strange keys do not make the client fetch key sets without a pause.
test("the Rust client: one unknown key after the other costs a fetch now and then", async () => {
  const stub = await stubOf({ jwks: { keys: [key.jwk] } });
  const client = await start([stub], { follow: "poll" }, { keys: `${stub.url}/jwks` });
  const before = asked(stub, "/jwks");
  const began = performance.now();
  const strange = await signingKey("EdDSA", "strange");
  for (let at = 0; at < 3; at += 1) {
    assert.equal(await client.verify(await mint({ ...strange, kid: `strange${at}` })), "unknown_key");
  }
  const seconds = (performance.now() - began) / 1000;
  assert.equal(asked(stub, "/jwks") - before, 3);
  assert.ok(seconds > 3.5, `3 fetches in ${seconds} s`);
});

// S03: processes may share a folder. What one of them has seen stays, although another has seen less.
test("the Rust client: a newer floor of another process stays in the folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-client-"));
  const [ahead, behind] = [await stubOf(), await stubOf()];
  const feed = { follow: "poll", store: join(folder, "kept"), timeoutSeconds: 1 };
  const [first, second] = [await start([ahead], feed), await start([behind], feed)];
  ahead.feed = send(deltas[0]);
  assert.ok(await until(async () => (await first.status()).position === "1.3"));
  await first.ask("save");
  behind.feed = send(sign([{ from: 2, to: 2, issued_at: now() + 1 }]).snapshots[0]);
  await second.refresh();
  await second.ask("save");
  await first.close();
  await second.close();
  ahead.isUp = false;
  const third = await startRustClient({ key, publicKey, url: `${ahead.url}/feed` }, feed);
  open.push(third);
  assert.equal((await third.status()).position, "1.3");
  await rm(folder, { recursive: true });
});
