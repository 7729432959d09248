// What the feed client does with answers that are not what it asked for.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Verifier } from "offswitch";
import { AUDIENCE, ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"] },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 5, to: 6 },
  { to: 6 },
  { from: 2, to: 3, history: "fork" },
  { from: 2, to: 3, feed: "another" },
  { from: 2, to: 3, seed: 8 },
  { from: 2, to: 3, issued_at: now() + 4000, valid_until: now() + 5000 },
]);
const [base, delta, gap, newer, fork, otherFeed, otherKey, future] = snapshots;
const good = await mint(key);
const stubs = [];
after(async () => {
  for (const stub of stubs) await stub.close();
});

/** A verifier that holds the base at 1.2; time can be moved past the backoff. */
async function held(feed = {}) {
  const stub = await startStub({ snapshot: base });
  stubs.push(stub);
  const time = { ahead: 0 };
  const verifier = new Verifier({
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] },
    clock: () => Date.now() / 1000 + time.ahead,
    feed: {
      url: `${stub.url}/feed?tenant=a`, id: "feed", publicKeys: [publicKey],
      maxBytes: 100_000, timeoutSeconds: 0.4, maxStaleness: 600, ...feed,
    },
  });
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  return { stub, verifier, time };
}

const send = (bytes, headers = {}, status = 200) => (_, response) => {
  response.writeHead(status, { "content-type": "application/octet-stream", ...headers }).end(bytes);
};
const drip = (_, response) => {
  response.writeHead(200, { "content-type": "application/octet-stream" });
  const timer = setInterval(() => response.write("x"), 20);
  response.on("close", () => clearInterval(timer));
};
const endless = (_, response) => {
  response.writeHead(200, { "content-type": "application/octet-stream" });
  const more = () => { while (response.writable && response.write(Buffer.alloc(65536))); };
  response.on("drain", more).on("error", () => {});
  more();
};

const HOSTILE = {
  "a page of HTML with status 200": send("<html>", { "content-type": "text/html" }),
  "a page of HTML under the right type": send("<html>Sign in</html>"),
  "no content-type": (_, response) => response.end(delta),
  "an empty answer": send(""),
  "a truncated delta": send(delta.subarray(0, delta.length - 1)),
  "a delta with bytes after it": send(Buffer.concat([delta, Buffer.from([0])])),
  "a delta cut off by the connection": (_, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": delta.length });
    response.write(delta.subarray(0, 50), () => response.destroy());
  },
  "a delta with one bit changed": send(Buffer.from(delta.map((byte, at) => (at === delta.length >> 1 ? byte ^ 1 : byte)))),
  "a declared length beyond the limit": send("", { "content-length": String(1 << 30) }),
  "more bytes than the limit": endless,
  "a compressed bomb": send(gzipSync(Buffer.alloc(50_000_000)), { "content-encoding": "gzip" }),
  "a redirect": (_, response) => response.writeHead(302, { location: "/feed?loop" }).end(),
  "a redirect to a good snapshot": (request, response) =>
    request.url.includes("good") ? send(delta)(request, response)
      : response.writeHead(307, { location: "/feed?good" }).end(),
  "status 204": (_, response) => response.writeHead(204).end(),
  "status 500 with a good body": send(delta, {}, 500),
  "a byte now and then": drip,
  "no answer at all": () => {},
  "a reset connection": (request) => request.socket.resetAndDestroy(),
  "a fork": send(fork),
  "another feed's delta": send(otherFeed),
  "a stranger's signature": send(otherKey),
  "a delta from the future": send(future),
};

for (const [what, handler] of Object.entries(HOSTILE)) {
  // S08, S09, S10: the last good state stays in force and the next good update succeeds.
  test(`${what} leaves the last good state in force`, async () => {
    const { stub, verifier, time } = await held();
    stub.feed = handler;
    const began = Date.now();
    const result = await verifier.refresh();
    assert.ok("error" in result, JSON.stringify(result));
    assert.ok(Date.now() - began < 3000, "bounded in time");
    assert.equal(verifier.since(), "1.2");
    assert.equal(verifier.verifySync(good).code, "valid");
    assert.equal(verifier.verifySync(await mint(key, { jti: "gone" })).code, "revoked_token");
    stub.feed = send(delta);
    assert.deepEqual(await verifier.refresh(), { skipped: true });
    time.ahead = 31;
    assert.deepEqual(await verifier.refresh(), { applied: "extended" });
    assert.equal(verifier.verifySync(good).code, "revoked_token");
  });
}

// S06: a delta that begins beyond what is held cannot be used; the base is fetched in its place.
test("a gap fetches the base in the same round", async () => {
  const { stub, verifier } = await held();
  stub.feed = (request, response) =>
    send(request.url.includes("since=") ? gap : newer)(request, response);
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.equal(verifier.since(), "1.6");
  const searches = stub.requests.filter((one) => one.path === "/feed").map((one) => one.search);
  assert.deepEqual(searches, ["?tenant=a", "?tenant=a&since=1.2", "?tenant=a"]);
});

// S14: a server that asks for peace gets it, within reason.
test("Retry-After is honoured up to a limit", async () => {
  const { stub, verifier, time } = await held();
  stub.feed = send("", { "retry-after": "9" }, 503);
  await verifier.refresh();
  time.ahead = 8;
  assert.deepEqual(await verifier.refresh(), { skipped: true });
  time.ahead = 10;
  stub.feed = send("", { "retry-after": "99999999" }, 503);
  assert.ok("error" in (await verifier.refresh()));
  time.ahead = 45;
  stub.feed = send(delta);
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  assert.equal(asked(stub, "/feed"), 4);
});
