// The Rust client against the servers that the npm package is tested with.

import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  STREAM_TYPE, eventOf, hostileAnswers, hostileStreams, openStream, send, streamEvent, streaming, until,
} from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startRustClient } from "../support/rust-client.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const newKey = await signingKey("ES256", "new");
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"] },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 2, to: 3, history: "fork" },
  { from: 2, to: 3, feed: "another" },
  { from: 2, to: 3, seed: 8 },
  { from: 5, to: 6 },
  { to: 6, tokens: ["gone"] },
  { from: 2, to: 2 },
  { from: 3, to: 4, tokens: ["second"] },
  { from: 4, to: 4 },
]);
const [base, delta, fork, otherFeed, otherKey, gap, newer, heartbeat, second, last] = snapshots;
const good = await mint(key);
const gone = await mint(key, { jti: "gone" });
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

/** A stub, with this stream if it has one, and a client that holds the base at 1.2 and polls often. */
async function held(feed = {}, more = {}, stream = undefined) {
  const stub = await startStub({ snapshot: base, jwks: { keys: [key.jwk] } });
  stub.stream = stream;
  open.push(stub);
  const limits = { follow: "poll", pollSeconds: 0.2, maxBytes: 100_000, timeoutSeconds: 0.4, ...feed };
  const client = await startRustClient({ key, publicKey, url: `${stub.url}/feed?tenant=a` }, limits, more);
  open.push(client);
  // On a busy machine an answer may take longer than the client waits here.
  assert.ok(await until(async () => (await client.status()).position === "1.2"));
  return { stub, client };
}

const comes = (client, token, code, seconds = 30) =>
  until(async () => (await client.check(token)) === code, seconds);
const fails = (client) => until(async () => (await client.status()).feed.failures > 0, 15);

/** Resident memory of the client's process, bytes. */
async function memoryOf({ pid }) {
  const pages = (await readFile(`/proc/${pid}/statm`, "utf8")).split(" ")[1];
  return Number(pages) * 4096;
}

/** Of answers that would fail for another reason too, later and at a higher price. */
const REASONS = {
  "a compressed bomb": /compressed/,
  "a declared length beyond the limit": /too large/,
  "a good beginning that never ends": /too large/,
  "a page of HTML under the right type": /snapshot/,
  "a redirect to a good snapshot": /redirect/,
  "more bytes than the limit": /snapshot/,
  "no content-type": /content-type/,
};

const STREAM_REASONS = {
  "a compressed bomb": /compressed/,
  "another field's line without end": /too large/,
  "comments and nothing else": /fell silent/,
  "events without data": /fell silent/,
  "silence": /fell silent/,
};

// A process that was restarted must not accept what it has refused before, until the next poll.
test("the Rust client: starts with what came after the base", { concurrency: true }, async () => {
  const stub = await startStub({ snapshot: base, jwks: { keys: [key.jwk] } });
  open.push(stub);
  // The answer after the base takes a moment: a client that does not wait for it decides without it.
  stub.feed = (request, response) => request.url.includes("since=1.2")
    ? void setTimeout(() => send(delta)(request, response), 700)
    : send(base)(request, response);
  const client = await startRustClient({ key, publicKey, url: `${stub.url}/feed` }, { follow: "poll", pollSeconds: 30 });
  open.push(client);
  assert.deepEqual([(await client.status()).position, await client.check(good)], ["1.3", "revoked_token"]);
});

for (const [what, handler] of Object.entries(hostileAnswers({ delta, fork, otherFeed, otherKey }))) {
  // G08, S08, S09, S10: the last good state stays in force and the next good update succeeds.
  test(`the Rust client: ${what} leaves the last good state in force`, { concurrency: true }, async () => {
    const { stub, client } = await held();
    const before = await memoryOf(client);
    stub.feed = handler;
    assert.ok(await fails(client), "it is noticed");
    const { feed, position } = await client.status();
    assert.equal(position, "1.2");
    assert.match(feed.last_failure.detail, REASONS[what] ?? /./, "for its own reason");
    assert.equal(feed.last_failure.url, `${stub.url}/feed?tenant=a`);
    assert.equal(await client.check(good), "valid");
    assert.equal(await client.check(gone), "revoked_token");
    assert.ok((await memoryOf(client)) < before + (16 << 20), "bounded in memory");
    stub.feed = send(delta);
    assert.ok(await comes(client, good, "revoked_token"), "the next good update succeeds");
  });
}

for (const [what, handler] of Object.entries(hostileStreams({ delta, fork, otherFeed, otherKey }))) {
  // G08, S08, S09: bounded in bytes and time; the last good state stays, the next good stream succeeds.
  test(`the Rust client: a stream of which comes ${what} leaves the last good state in force`, async () => {
    const { stub, client } = await held({ follow: "stream" }, {}, handler);
    const before = await memoryOf(client);
    // Polls bring the base again meanwhile.
    assert.ok(await until(() => asked(stub, "/feed/stream") > 0, 15));
    assert.ok(await fails(client), "it is noticed");
    const { feed, position } = await client.status();
    assert.equal(position, "1.2");
    assert.match(feed.last_failure.detail, STREAM_REASONS[what] ?? /./, "for its own reason");
    assert.equal(await client.check(good), "valid");
    assert.equal(await client.check(gone), "revoked_token");
    assert.ok((await memoryOf(client)) < before + (16 << 20), "bounded in memory");
    stub.stream = streaming(eventOf(delta));
    assert.ok(await comes(client, good, "revoked_token"), "the next good stream succeeds");
    // Streams and polls were asked with pauses.
    assert.ok(asked(stub, "/feed/stream") < 60, String(asked(stub, "/feed/stream")));
  });
}

for (const [what, handler] of Object.entries({
  ...hostileAnswers({ delta, fork, otherFeed, otherKey }),
  "status 304 for everything": (_, response) => response.writeHead(304, { etag: '"x"' }).end(),
  "heartbeats without a base": send(heartbeat),
})) {
  // G08, S19: a mirror that is no good stops nothing, also where it is asked first.
  test(`the Rust client: a mirror that answers ${what} stops nothing`, async () => {
    const [bad, fair] = [await startStub(), await startStub()];
    open.push(bad, fair);
    bad.feed = handler;
    fair.feed = (request, response) => {
      const since = new URL(request.url, "http://feed").searchParams.get("since");
      send({ 1.2: delta, 1.3: second, 1.4: last }[since] ?? base)(request, response);
    };
    const url = [bad, fair].map((stub) => `${stub.url}/feed`);
    const limits = { follow: "poll", pollSeconds: 0.2, maxBytes: 100_000, timeoutSeconds: 0.4 };
    const client = await startRustClient({ key, publicKey, url }, limits);
    open.push(client);
    assert.ok((await client.status()).is_ready, "after one round");
    assert.ok(await comes(client, good, "revoked_token"));
    assert.ok(await comes(client, await mint(key, { jti: "second" }), "revoked_token"));
    assert.equal((await client.status()).feed.url, `${fair.url}/feed`, "the good one is stayed with");
  });
}

// S06: a delta that begins beyond what is held cannot be used; the base is fetched in its place.
test("the Rust client: a gap fetches the base in the same round", async () => {
  const { stub, client } = await held({ pollSeconds: 3600 });
  stub.feed = (request, response) => send(request.url.includes("since=") ? gap : newer)(request, response);
  await client.refresh();
  assert.equal((await client.status()).position, "1.6");
  const searches = stub.requests.filter((one) => one.path === "/feed").map((one) => one.search);
  // The first round may still be under way, and ask too. The next one would be an hour later.
  assert.ok(searches.filter((search) => search === "?tenant=a").length >= 2, String(searches));
});

// S15: a stream brings a revocation as soon as its event is complete, and is resumed where it was.
test("the Rust client: a stream is resumed at what is held, with the API key", async () => {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  const stream = stub.stream = openStream(streamEvent(5));
  const feed = { follow: "stream", pollSeconds: 0.2, apiKey: "osk_feed" };
  const client = await startRustClient({ key, publicKey, url: `${stub.url}/feed` }, feed);
  open.push(client);
  assert.ok(await until(() => stream.followers.size === 1));
  const { headers } = stream.requests[0];
  assert.deepEqual(
    [headers["last-event-id"], headers.authorization, headers.accept],
    ["1.2", "Bearer osk_feed", STREAM_TYPE],
  );
  stream.send(heartbeat);
  assert.ok(await until(async () => (await client.status()).following === "stream"));
  const polls = asked(stub, "/feed");
  stream.send(delta);
  assert.ok(await comes(client, good, "revoked_token", 2));
  stream.end();
  assert.ok(await until(() => stream.requests.length === 2));
  assert.equal(stream.requests[1].headers["last-event-id"], "1.3");
  assert.ok(asked(stub, "/feed") <= polls + 3, "hardly anything is polled beside a stream");
});

// S14: a snapshot that is held already is not sent again.
test("the Rust client: an entity tag saves the body, and proves no freshness", async () => {
  const { stub, client } = await held({ pollSeconds: 3600 });
  let bodies = 0;
  stub.feed = (request, response) => {
    if (request.headers["if-none-match"] === '"a"') return void response.writeHead(304).end();
    bodies += 1;
    send(heartbeat, { etag: '"a"' })(request, response);
  };
  // Rounds take turns: when this one has ended, so has the one with which the client began.
  await client.refresh();
  const before = asked(stub, "/feed");
  bodies = 0;
  for (let round = 0; round < 3; round += 1) await client.refresh();
  assert.deepEqual([bodies, asked(stub, "/feed") - before], [0, 3]);
  assert.equal((await client.status()).feed.failures, 0);
});

// S15: what is held back by a proxy is noticed, and polls bring it.
test("the Rust client: a stream that is held back on its way is complemented by polls", async () => {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  // It says that it beats each second, and then nothing comes.
  stub.stream = streaming(streamEvent(1), eventOf(base));
  const feed = { follow: "stream", pollSeconds: 0.2, timeoutSeconds: 30 };
  const client = await startRustClient({ key, publicKey, url: `${stub.url}/feed` }, feed);
  open.push(client);
  stub.feed = send(delta);
  assert.ok(await comes(client, good, "revoked_token", 15));
  assert.equal((await client.status()).following, "poll");
  assert.match(client.failures, /stream_late/);
});

// G07: a relay signs nothing, so its stream may begin with a heartbeat that came to it a while ago.
test("the Rust client: a stream may begin with a heartbeat that is as old as heartbeats are apart", async () => {
  for (const [heartbeatSeconds, following] of [[10, "stream"], [2, "poll"]]) {
    const [fresh, aged] = sign([{ to: 2 }, { from: 2, to: 2, issued_at: now() - 8 }]).snapshots;
    const stub = await startStub({ snapshot: fresh });
    open.push(stub);
    stub.stream = streaming(streamEvent(heartbeatSeconds), eventOf(aged));
    const parts = { key, publicKey, url: `${stub.url}/feed` };
    const client = await startRustClient(parts, { follow: "stream", pollSeconds: 3600 });
    open.push(client);
    assert.ok(await until(async () => (await client.status()).feed.stream_lateness_seconds > 0));
    assert.equal((await client.status()).following, following, `heartbeats each ${heartbeatSeconds} s`);
  }
});

// I16: one fetch for all tokens of an unknown key, and a refusal only by a set that was fetched later.
test("the Rust client: a hundred tokens with a new key cost one fetch of the key set", async () => {
  const stub = await startStub({ snapshot: base, jwks: { keys: [key.jwk] } });
  open.push(stub);
  const client = await startRustClient(
    { key, publicKey, url: `${stub.url}/feed` }, { follow: "poll" }, { keys: `${stub.url}/jwks` },
  );
  open.push(client);
  assert.equal(await client.check(good), "valid");
  assert.equal(asked(stub, "/jwks"), 1);
  stub.jwks = { keys: [key.jwk, newKey.jwk] };
  const tokens = await Promise.all(Array.from({ length: 100 }, (_, at) => mint(newKey, { jti: `t${at}` })));
  const { codes } = await client.ask({ verify_all: tokens });
  assert.deepEqual(new Set(codes), new Set(["valid"]));
  assert.equal(asked(stub, "/jwks"), 2);
  // A key that no issuer has published is refused, after one more fetch.
  const strange = await mint(await signingKey("ES256", "strange"));
  assert.equal(await client.verify(strange), "unknown_key");
  assert.equal(asked(stub, "/jwks"), 3);
  // And without an answer nothing is known.
  stub.jwks = (_, response) => response.writeHead(500).end();
  const other = await mint(await signingKey("ES256", "other"));
  assert.equal(await client.verify(other), "keys_unavailable");
  assert.equal(await client.check(good), "valid", "the last good set stays");
});

const HOSTILE_KEYS = {
  "a page of HTML": (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
  "status 500": (_, response) => response.writeHead(500).end("{}"),
  "a redirect to a good set": (request, response) => request.url.includes("good")
    ? response.end(JSON.stringify({ keys: [key.jwk] }))
    : response.writeHead(302, { location: "/jwks?good" }).end(),
  "more bytes than the limit": (_, response) => {
    response.writeHead(200, { "content-type": "application/json" });
    response.write('{"keys":[');
    const piece = " ".repeat(65_536);
    const more = () => { while (!response.destroyed && response.write(piece)); };
    response.on("drain", more).on("error", () => {});
    more();
  },
  "what is no set": (_, response) => response.end("[1]"),
  "a reset connection": (request) => request.socket.resetAndDestroy(),
  "no answer at all": () => {},
};
for (const [what, handler] of Object.entries(HOSTILE_KEYS)) {
  // G08: without keys nothing is decided, and a good set is taken over once there is one.
  test(`the Rust client: a key server that answers ${what} leaves all undecided`, async () => {
    const stub = await startStub({ snapshot: base, jwks: handler });
    open.push(stub);
    const client = await startRustClient(
      { key, publicKey, url: `${stub.url}/feed` }, { follow: "poll" }, { keys: `${stub.url}/jwks` },
    );
    open.push(client);
    const code = await client.check(good);
    assert.ok(["no_keys", "unknown_key"].includes(code), code);
    const { is_ready: isReady, keys: [{ problem }] } = await client.status();
    assert.equal(isReady, false);
    if (what === "more bytes than the limit") assert.match(problem, /length limit/);
    assert.match(await client.verify(good), /^(no_keys|keys_unavailable)$/);
    stub.jwks = { keys: [key.jwk] };
    assert.ok(await comes(client, good, "valid", 30));
  });
}

// S03, E02: a restart begins where it was, also while the feed does not answer; nothing older is trusted.
test("the Rust client: a restart begins with what was kept", async () => {
  const folder = join(await mkdtemp(join(tmpdir(), "offswitch-client-")), "kept");
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  const feed = { follow: "poll", pollSeconds: 0.2, store: folder, timeoutSeconds: 1 };
  const first = await startRustClient(parts, feed);
  stub.feed = send(delta);
  assert.ok(await comes(first, good, "revoked_token"));
  await first.ask("save");
  await first.close();
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  for (const name of await readdir(folder)) {
    assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
  }
  stub.isUp = false;
  const second = await startRustClient(parts, feed);
  assert.equal((await second.status()).position, "1.3");
  assert.equal(await second.check(good), "revoked_token");
  await second.close();
  // An older base alone decides nothing any more.
  await rm(join(folder, "deltas"));
  stub.isUp = true;
  stub.feed = send(base);
  const third = await startRustClient(parts, feed);
  assert.equal(await third.check(await mint(key, { jti: "third" })), "no_snapshot");
  await third.close();
  // What is not a snapshot costs what it held, and nothing else.
  for (const name of ["floor", "base", "deltas"]) await writeFile(join(folder, name), "junk");
  stub.feed = send(base);
  const fourth = await startRustClient(parts, feed);
  assert.equal(await fourth.check(await mint(key, { jti: "fourth" })), "valid");
  await fourth.close();
  await rm(join(folder, ".."), { recursive: true });
});

// S15: a watched token ends with its revocation.
test("the Rust client: watching a token ends when it is revoked or has expired", async () => {
  const { stub, client } = await held();
  const soon = await mint(key, { jti: "soon", exp: now() - 28 });
  assert.equal((await client.ask({ watch: soon })).code, "expired");
  const watched = client.ask({ watch: good });
  await new Promise((resume) => setTimeout(resume, 300));
  stub.feed = send(delta);
  assert.equal((await watched).code, "revoked_token");
});

// S14, S15: a long poll is held back until there is news, and then the next one begins.
test("the Rust client: long polls bring news as they come, and hardly any requests", async () => {
  const { stub, client } = await held({ follow: "long-poll", longPollSeconds: 20, timeoutSeconds: 5 });
  const waiting = [];
  stub.feed = (request, response) => {
    if (new URL(request.url, "http://feed").searchParams.has("wait")) waiting.push(response);
    else send(heartbeat)(request, response);
  };
  assert.ok(await until(() => waiting.length === 1));
  const before = asked(stub, "/feed");
  await new Promise((resume) => setTimeout(resume, 1_000));
  assert.ok(asked(stub, "/feed") <= before + 1, "it waits");
  send(delta)(undefined, waiting.pop());
  assert.ok(await comes(client, good, "revoked_token", 2));
  assert.ok(await until(() => stub.requests.at(-1).search.includes("since=1.3&wait=")));
});

// S03, E10: an address that serves less than is held is reported, and what is held stays.
test("the Rust client: an address that is behind is reported", async () => {
  const { stub, client } = await held();
  stub.feed = send(delta);
  assert.ok(await comes(client, good, "revoked_token"));
  stub.feed = send(base);
  assert.ok(await until(async () => (await client.status()).feed.behind_since !== null));
  const { feed, position } = await client.status();
  assert.deepEqual([feed.last_failure.code, position], ["feed_behind", "1.3"]);
  assert.equal(await client.check(good), "revoked_token");
});
