// Problems of a feed are reported where users look: the console, the verdict and the status.

import assert from "node:assert/strict";
import { after, afterEach, test } from "node:test";
import { Verifier } from "offswitch";
import { keep } from "offswitch/stores";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { readEnv } from "../../verifier-wasm/js/worker/config.js";
import { optionsOf, send, verifierOf } from "../support/feed.mjs";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 6 }, { to: 2 }, { from: 2, to: 3 }, { from: 6, to: 7, tokens: ["token"] },
]);
const [base, older, olderDelta, delta] = snapshots;
const { publicKey: otherKey } = sign([{ to: 1, seed: 9 }]);
const good = await mint(key);
const { warn } = console;
const stub = await startStub({ snapshot: base });
after(stub.close);
let warnings = [];
afterEach(() => {
  console.warn = warn;
  warnings = [];
  stub.feed = undefined;
});

function start(more = {}, feed = {}) {
  console.warn = (text) => warnings.push(text);
  return verifierOf({ key, publicKey, url: `${stub.url}/feed` }, more, feed);
}

const WRONG = {
  "key": [{ publicKeys: [otherKey] }, "snapshot_unknown_key", /no key of feed\.publicKeys/],
  "id": [{ id: "https://other.example" }, "wrong_feed", /'feed', expected 'https:\/\/other\.example'/],
  "address": [{ url: `${stub.url}/wrong` }, "feed_unreachable", /status 404.*feed\.url/],
  "API key": [{}, "feed_unreachable", /status 401.*feed\.apiKey/],
};
for (const [what, [feed, code, detail]] of Object.entries(WRONG)) {
  // D37: users only saw 503; the reason was only in status().
  test(`a wrong ${what} is reported once on the console and in each verdict`, async () => {
    const { time, verifier } = start({}, feed);
    if (what === "API key") stub.feed = (_, response) => response.writeHead(401).end();
    if (what === "address") stub.upstream = (_, response) => response.writeHead(404).end();
    for (let round = 0; round < 3; round += 1) {
      await verifier.refresh();
      time.ahead += 31;
    }
    assert.equal(warnings.length, 1, warnings.join("\n"));
    assert.ok(warnings[0].startsWith(`offswitch: ${code} at ${stub.url}/`), warnings[0]);
    assert.match(warnings[0], detail);
    const verdict = verifier.verifySync(good);
    assert.equal(verdict.code, "no_snapshot");
    assert.match(verdict.detail, detail);
    assert.match((await verifier.verify(good)).detail, detail);
  });
}

test("a listener gets each failure as an event, and the console none", async () => {
  const events = [];
  const { time, verifier } = start({ onEvent: (event) => events.push(event) }, { publicKeys: [otherKey] });
  await verifier.refresh();
  time.ahead += 31;
  await verifier.refresh();
  assert.deepEqual(events.map(({ error }) => error), Array(2).fill("snapshot_unknown_key"));
  assert.deepEqual(warnings, []);
});

// N04: a verifier whose feed nothing follows reports that.
test("an undecided verdict says if nothing follows the feed", async () => {
  const { time, verifier } = start();
  assert.match(verifier.verifySync(good).detail, /nothing follows the feed: use createVerifier/);
  await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "valid");
  time.ahead = 601;
  const { code, detail } = verifier.verifySync(good);
  assert.equal(code, "stale_snapshot");
  assert.match(detail, /nothing follows the feed/);
});

for (const [what, answer] of Object.entries({ base: older, delta: olderDelta })) {
  // D83: the server's log ends before the verifier's position. The floor stays, and that is reported.
  test(`a server that answers with a ${what} from before the held position is reported`, async () => {
    const events = [];
    const { verifier } = start({ onEvent: (event) => events.push(event) });
    await verifier.refresh();
    stub.feed = send(answer);
    await verifier.refresh();
    await verifier.refresh();
    const behind = events.filter(({ error }) => error === "feed_behind");
    assert.equal(behind.length, 1, "once until the server has caught up");
    assert.match(behind[0].detail, /1\.6/);
    const { feed, position } = verifier.status();
    assert.equal(position, "1.6");
    assert.ok(Math.abs(feed.behindSince - Date.now() / 1000) < 600);
    assert.equal(feed.lastFailure.error, "feed_behind");
    assert.equal(feed.failures, 0, "it does not reduce the frequency of polls");
    stub.feed = send(delta);
    await verifier.refresh();
    assert.equal(verifier.status().feed.behindSince, null);
    assert.equal(verifier.verifySync(good).code, "revoked_token");
  });
}

// D16: another operator may run a mirror, which must not get the key of the control plane.
test("the feed's API key is sent only to the origin of the first address", async () => {
  const mirror = await startStub();
  after(mirror.close);
  const keysAt = async (feed) => {
    const { verifier } = start({ onEvent() {} }, feed);
    for (const one of [stub, mirror]) {
      one.requests.length = 0;
      one.feed = (_, response) => response.writeHead(500).end();
    }
    await verifier.refresh();
    return [stub, mirror].map(({ requests }) => requests.map(({ headers }) => headers.authorization));
  };
  const url = [`${stub.url}/feed`, `${mirror.url}/feed`];
  assert.deepEqual(await keysAt({ url, apiKey: "own" }), [["Bearer own"], [undefined]]);
  const both = [url[0], { url: url[1], apiKey: "theirs" }];
  assert.deepEqual(await keysAt({ url: both, apiKey: "own" }), [["Bearer own"], ["Bearer theirs"]]);
  const sameOrigin = [url[0], `${stub.url}/feed?b`];
  assert.deepEqual(await keysAt({ url: sameOrigin, apiKey: "own" }), [["Bearer own", "Bearer own"], []]);
  for (const wrong of [{ url: 5 }, { url: url[0], apiKey: 5 }, { url: url[0], key: "x" }, { apiKey: "x" }]) {
    assert.throws(() => start({}, { url: wrong }), /feed\.url must be .*, found an object/);
  }
});

// D16: the same for the edge worker, whose settings are texts.
test("the worker sends one API key to its first address, or each address its own", () => {
  const env = (more) => ({
    OFFSWITCH_AUDIENCE: "api", OFFSWITCH_FEED_PUBLIC_KEYS: publicKey, OFFSWITCH_ISSUER: "https://a.test",
    OFFSWITCH_FEED_URL: "https://a.test/v1/feed, https://b.test/v1/feed", UPSTREAM: "https://up.test", ...more,
  });
  const one = readEnv(env({ OFFSWITCH_FEED_API_KEY: "own" })).options.feed;
  assert.deepEqual([one.apiKey, one.url], ["own", ["https://a.test/v1/feed", "https://b.test/v1/feed"]]);
  const two = readEnv(env({ OFFSWITCH_FEED_API_KEY: "own, theirs" })).options.feed;
  assert.deepEqual(two.url.map(({ apiKey }) => apiKey), ["own", "theirs"]);
  assert.equal(two.apiKey, undefined);
  const { problems } = readEnv(env({ OFFSWITCH_FEED_API_KEY: "a,b,c" }));
  assert.match(problems.join(), /as many with commas/);
  assert.equal(readEnv(env({ OFFSWITCH_FEED_MAX_BYTES: "1000000" })).options.feed.maxBytes, 1_000_000);
});

// D114: an address with a slash at its end is the same address.
test("a slash at the end of the feed's address changes nothing", async () => {
  const { verifier } = start({}, { url: `${stub.url}/feed/` });
  const before = asked(stub, "/feed");
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.equal(asked(stub, "/feed"), before + 1);
});

// D18: a file of zeros is a million empty parts.
for (const [what, bytes] of Object.entries({
  zeros: new Uint8Array(1 << 20),
  "small parts of nothing": new Uint8Array(1 << 20).fill(1).map((_, at) => (at % 5 === 3 ? 1 : 0)),
})) {
  test(`a store of ${what} is refused at its first part`, async () => {
    const { apply } = WasmVerifier.prototype;
    let calls = 0;
    WasmVerifier.prototype.apply = function counted(...args) {
      calls += 1;
      return apply.apply(this, args);
    };
    const events = [];
    const store = keep({ read: async (name) => (name === "snapshots" ? bytes : undefined), write: async () => {} });
    const { verifier } = start({ onEvent: (event) => events.push(event) }, { store });
    const before = process.cpuUsage();
    assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
    const { user, system } = process.cpuUsage(before);
    WasmVerifier.prototype.apply = apply;
    assert.equal(calls, 1, "the feed's base");
    assert.ok((user + system) / 1e6 < 1, `${(user + system) / 1e6} s of computing`);
    assert.equal(events.filter(({ error }) => error === "store_failed").length, 1);
  });
}

// D38: the error names what was found and what was expected, and never an option's content.
test("the error for a wrong option names what was found, and shows no secret", () => {
  const problems = (feed) => {
    try {
      new Verifier(optionsOf({ key, publicKey, url: `${stub.url}/feed` }, {}, feed)).close();
    } catch (error) {
      return error.message;
    }
    return undefined;
  };
  assert.match(problems({ pollSeconds: -3 }), /feed\.pollSeconds must be seconds > 0 and <= 86400, found -3/);
  assert.match(problems({ follow: "sse" }), /feed\.follow must be one of .*, found a string of 3 characters/);
  assert.match(problems({ url: undefined }), /feed\.url is missing: it must be 1 to 8/);
  assert.match(problems({ url: [] }), /found an array of 0/);
  const secret = problems({ url: "https://user:hunter2@a.test/feed", apiKey: { key: "hunter2" } });
  assert.match(secret, /apiKey must be a string with content, found an object/);
  assert.ok(!secret.includes("hunter2"), secret);
});
