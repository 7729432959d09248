// createVerifier with a feed that streams, over time.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { STREAM_TYPE, eventOf, openStream, optionsOf, send, streamEvent, until } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { to: 9, tokens: ["token"] },
  { from: 8, to: 9 },
  { from: 2, to: 3, extra: 70_000 },
  { from: 3, to: 4, tokens: ["token"] },
  { to: 4, extra: 70_000, tokens: ["token"] },
  { to: 2, history: "fork" },
]);
const [base, delta, newer, gap, flood, afterFlood, floodBase, fork] = snapshots;
const good = await mint(key);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

/** A verifier that follows a stub's stream, with short pauses between stream and poll. */
async function follow(feed = {}, more = {}) {
  const stub = await startStub({ snapshot: base });
  const stream = stub.stream = openStream(eventOf(base));
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  const how = { pollSeconds: 0.05, timeoutSeconds: 60, ...feed };
  const options = optionsOf(parts, more, how);
  open.push(stub);
  const verifier = await createVerifier(options);
  open.push(verifier);
  assert.ok(await until(() => verifier.status().following === "stream"));
  return { stub, stream, verifier };
}

// G07: a relay signs nothing, so its stream may begin with a heartbeat that came to it a while ago.
test("a stream may begin with a heartbeat that is as old as heartbeats are apart", async () => {
  for (const [heartbeatSeconds, following] of [[10, "stream"], [2, "poll"]]) {
    const [fresh, aged] = sign([{ to: 2 }, { from: 2, to: 2, issued_at: now() - 8 }]).snapshots;
    const stub = await startStub({ snapshot: fresh });
    open.push(stub);
    stub.stream = openStream(streamEvent(heartbeatSeconds), eventOf(aged));
    const verifier = await createVerifier(optionsOf({ key, publicKey, url: `${stub.url}/feed` }, {}, { pollSeconds: 3600 }));
    open.push(verifier);
    assert.ok(await until(() => verifier.status().feed.streamLatenessSeconds > 0));
    assert.equal(verifier.status().following, following, `heartbeats each ${heartbeatSeconds} s`);
  }
});

const isRevoked = (verifier) => () => verifier.verifySync(good).code === "revoked_token";

// S15: a revocation takes effect when its event arrives, and watchers are called.
test("a revocation comes over the stream without another request", async () => {
  const { stub, stream, verifier } = await follow();
  const reported = [];
  verifier.onRevoked(good, (verdict) => reported.push(verdict.code));
  const before = stub.requests.length;
  assert.equal(verifier.verifySync(good).code, "valid");
  stream.send(delta);
  assert.ok(await until(isRevoked(verifier)));
  assert.deepEqual(reported, ["revoked_token"]);
  assert.equal(stub.requests.length, before);
});

// S15, S14: the verifier reconnects to a server that went away, where the stream had ended.
for (const how of ["end", "reset"]) {
  test(`a stream's ${how} is followed by the next stream`, async () => {
    const { stream, verifier } = await follow();
    stream.send(delta);
    assert.ok(await until(isRevoked(verifier)));
    for (let times = 2; times <= 4; times += 1) {
      stream[how]();
      assert.ok(await until(() => stream.requests.length === times && stream.followers.size === 1));
      assert.equal(stream.requests.at(-1).headers["last-event-id"], "1.3");
    }
  });
}

// S06: a gap, the base by polling, then the stream again.
test("a gap in the stream brings the base by polling, and the stream continues from it", async () => {
  const { stub, stream, verifier } = await follow();
  stub.feed = (request, response) =>
    send(request.url.includes("since=") ? gap : newer)(request, response);
  stream.send(gap);
  assert.ok(await until(() => verifier.since() === "1.9"));
  stub.feed = undefined;
  assert.ok(await until(() => stream.requests.at(-1).headers["last-event-id"] === "1.9"));
  assert.ok(isRevoked(verifier)());
});

// S06, S09, S14: a newer base ends a fork, and the same base is not fetched again and again.
test("a stream with a forked feed brings the base once, and continues", async () => {
  const { stub, stream, verifier } = await follow();
  // Like the control plane: a follower without a usable position gets the base first.
  stub.stream = (request, response) => {
    stream(request, response);
    if (!request.headers["last-event-id"]) response.write(eventOf(base));
  };
  assert.equal(verifier.apply(fork).error, "feed_fork");
  assert.equal(verifier.verifySync(good).code, "feed_fork");
  stream.reset();
  assert.ok(await until(() => stream.requests.length > 1 && stream.followers.size === 1));
  const before = stub.requests.length;
  await new Promise((resume) => setTimeout(resume, 2000));
  const bases = stub.requests.length - before;
  assert.ok(bases <= 2, `${bases} more bases in 2 s`);
  stream.send(newer);
  assert.ok(await until(isRevoked(verifier)));
  assert.equal(verifier.since(), "1.9");
});

const NO_STREAM = {
  "answered with 404": (_, response) => response.writeHead(404).end(),
  "held back for ever": () => {},
  "answered by a page": send("<html>", { "content-type": "text/html" }),
  "closed immediately": send("", { "content-type": STREAM_TYPE }),
  reset: (request) => request.socket.resetAndDestroy(),
};
for (const [what, handler] of Object.entries(NO_STREAM)) {
  // S15, S09: behind a proxy that blocks streams, revocations are slower and nothing else changes.
  test(`if streams are ${what} the feed is polled`, async () => {
    const { stub, stream, verifier } = await follow({ timeoutSeconds: 0.5 });
    stub.stream = handler;
    stream.end();
    stub.feed = send(delta);
    assert.ok(await until(isRevoked(verifier), 60));
  });
}

// S07, S08: a connection that died without notice is detected by its silence.
test("a stream that falls silent is closed, and polling brings the missing news", async () => {
  const { stub, verifier } = await follow({ timeoutSeconds: 0.5 });
  stub.feed = send(delta);
  assert.ok(await until(isRevoked(verifier), 30));
  assert.equal(verifier.status().feed.lastFailure.detail, "the stream fell silent");
});

// E06: a token of a session that the feed does not have yet shows that the stream is behind.
test("a token that shows that the stream is behind causes a poll", async () => {
  const { stub, stream, verifier } = await follow({}, { userRule: "version_else_issued_at" });
  const beat = setInterval(() => stream.send(base), 100);
  stub.feed = send(delta);
  const newSession = await mint(key, { jti: "other", ver: 3 });
  assert.equal(verifier.verifySync(newSession).code, "valid");
  const isSeen = await until(() => {
    verifier.verifySync(newSession);
    return isRevoked(verifier)();
  }, 10);
  clearInterval(beat);
  assert.ok(isSeen, "the verifier listens only to the late stream");
});

// E08, S06: the entries of deltas do not accumulate in memory for ever.
test("a stream whose deltas exceed the base is closed for a newer base", async () => {
  const { stub, stream, verifier } = await follow();
  stream.send(flood);
  assert.ok(await until(() => verifier.status().position === "1.3"));
  assert.equal(verifier.since(), undefined, "a base is wanted");
  stub.feed = (request, response) =>
    send(request.url.includes("since=") ? afterFlood : floodBase)(request, response);
  const isAsked = () => stub.requests.some((one) => one.path === "/feed" && one.search === "");
  stub.requests.length = 0;
  stream.send(afterFlood);
  assert.ok(await until(isRevoked(verifier)));
  assert.ok(await until(isAsked, 5), "no base is requested while the stream lasts");
});

// E04: after close nothing is requested, in any state.
test("a closed verifier closes its stream and sends no requests", async () => {
  const { stub, stream, verifier } = await follow();
  const reported = [];
  verifier.onRevoked(good, (verdict) => {
    reported.push(verdict.code);
    verifier.close();
  });
  stream.send(delta);
  assert.ok(await until(() => stream.followers.size === 0));
  const before = stub.requests.length;
  await new Promise((resume) => setTimeout(resume, 600));
  assert.equal(stub.requests.length, before);
  assert.deepEqual(reported, ["revoked_token"]);
  assert.equal(verifier.status().watched, 0);
});

/** As above, with keys that are fetched, and an adjustable time. */
async function followWithKeySet() {
  const time = { ahead: 0 };
  const keySet = await startStub({ jwks: { keys: [key.jwk] } });
  open.push(keySet);
  const clock = () => Date.now() / 1000 + time.ahead;
  const more = { keys: `${keySet.url}/jwks`, clock };
  return { ...(await follow({ maxStaleness: 7200 }, more)), keySet, time };
}

// V17, S13: a key that its issuer has withdrawn is forgotten even if the stream never ends.
test("the keys are fetched again while the stream is followed", async () => {
  const { keySet, stream, time, verifier } = await followWithKeySet();
  const other = await signingKey("EdDSA", "other");
  keySet.jwks = { keys: [other.jwk] };
  time.ahead = 290;
  const { rounds } = verifier.status().feed;
  stream.send(base);
  assert.ok(await until(() => verifier.status().feed.rounds > rounds));
  assert.equal(verifier.verifySync(good).code, "valid");
  time.ahead = 310;
  stream.send(base);
  assert.ok(await until(() => verifier.verifySync(good).code === "unknown_key"));
  assert.equal(stream.requests.length, 1);
});

// S09: an issuer that hangs is no reason to delay the feed: revocations continue.
test("a key set that never arrives does not delay the stream", async () => {
  const { keySet, stream, time, verifier } = await followWithKeySet();
  keySet.jwks = () => {};
  time.ahead = 310;
  stream.write(eventOf(base) + eventOf(delta));
  assert.ok(await until(isRevoked(verifier), 5), "the delta waits for the key set");
});

// S09: the same for a single round: the feed does not wait for the time-out of the keys.
test("a poll brings a revocation although the key set never arrives", async () => {
  const { keySet, stub, time, verifier } = await followWithKeySet();
  keySet.jwks = () => {};
  stub.feed = send(delta);
  time.ahead = 310;
  const round = verifier.refresh();
  assert.ok(await until(isRevoked(verifier), 5), "the poll waits for the key set");
  await round;
});
