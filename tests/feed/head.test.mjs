// A feed that is published as files: what a verifier reads of them, from a site and from a binding.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { eventOf, openStream, optionsOf, until } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { baseName, bindingOf, filesOf, serveFiles } from "../support/head.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 3, to: 3, issued_at: now() + 100 },
  { from: 3, to: 4, tokens: ["second"] },
  { from: 2, to: 4, tokens: ["token", "second"] },
  { from: 4, to: 4, issued_at: now() + 100 },
  { to: 4, tokens: ["token", "second"] },
  { era: 2, to: 1, tokens: ["token"] },
  { era: 2, from: 1, to: 1 },
]);
const [base, beat2, delta3, beat3, delta4, wide, beat4, base4, nextEra, beatOfNextEra] = snapshots;
const good = await mint(key);
const second = await mint(key, { jti: "second" });
const at2 = { base: ["1.2", base], heartbeat: beat2, position: "1.2" };
const at3 = { ...at2, deltas: [["1.2", "1.3", delta3]], heartbeat: beat3, position: "1.3" };
const at4 = { ...at2, deltas: [["1.2", "1.4", wide], ["1.3", "1.4", delta4]], heartbeat: beat4, position: "1.4" };
const [BASE, BASE4] = [baseName("1.2", base), baseName("1.4", base4)];
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

/** A site with these files, and a verifier that reads its head. */
async function start(files, feed = {}) {
  const site = await serveFiles(files);
  const time = { ahead: 0 };
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey, time });
  const events = [];
  const onEvent = (event) => events.push(event);
  const verifier = new Verifier({ ...options, onEvent, feed: { ...trust, head: site.url, ...feed } });
  open.push(site, verifier);
  /** The names that are requested in a round. */
  const round = async () => {
    site.asked.length = 0;
    const result = await verifier.refresh();
    return [result.applied ?? result.error, ...site.asked];
  };
  return { events, round, site, time, verifier };
}

// P05, P06: a start reads the base and what came after it; later rounds read what is new.
test("a verifier reads the parts that lead to the head", async () => {
  const { round, site, time, verifier } = await start(filesOf(at2));
  assert.deepEqual(await round(), ["replaced", "head", BASE]);
  assert.equal(verifier.verifySync(good).code, "valid");
  site.files = filesOf(at3);
  assert.deepEqual(await round(), ["extended", "head", "deltas/1.2_1.3"]);
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  assert.equal(verifier.status().position, "1.3");
  time.ahead = 100;
  site.files = filesOf(at3, { note: "new" });
  assert.deepEqual(await round(), ["refreshed", "head"]);
  assert.ok(verifier.status().ageSeconds < 60);
  const { feed, following } = verifier.status();
  assert.deepEqual([feed.url, feed.failures, following], [site.url, 0, null]);
});

test("a start reads the base and the fewest deltas after it", async () => {
  const { round, verifier } = await start(filesOf(at4));
  assert.deepEqual(await round(), ["replaced", "head", BASE, "deltas/1.2_1.4"]);
  assert.equal(verifier.verifySync(second).code, "revoked_token");
  assert.equal(verifier.status().position, "1.4");
});

test("a verifier that was away takes the delta that reaches farthest", async () => {
  const { round, site } = await start(filesOf(at2));
  await round();
  site.files = filesOf(at4);
  assert.deepEqual(await round(), ["extended", "head", "deltas/1.2_1.4"]);
});

// A control plane makes the delta from any position, and lists none.
test("a delta is made on demand where none is listed", async () => {
  const onDemand = { on_demand: true };
  const { round, site, verifier } = await start(filesOf(at2, onDemand));
  assert.deepEqual(await round(), ["replaced", "head", BASE]);
  const at = { base: ["1.2", base], heartbeat: beat4, position: "1.4" };
  site.files = { ...filesOf(at, onDemand), "deltas/1.2_1.4": wide };
  assert.deepEqual(await round(), ["extended", "head", "deltas/1.2_1.4"]);
  assert.equal(verifier.verifySync(second).code, "revoked_token");
  const other = await start({ ...filesOf(at, onDemand), "deltas/1.2_1.4": wide });
  assert.deepEqual(await other.round(), ["replaced", "head", BASE, "deltas/1.2_1.4"], "also after the base");
});

test("the base is read where no delta can be made on demand", async () => {
  const { round, site } = await start(filesOf(at2));
  await round();
  site.files = filesOf({ base: ["1.4", base4], heartbeat: beat4, position: "1.4" }, { on_demand: true });
  assert.deepEqual(await round(), ["replaced", "head", "deltas/1.2_1.4", BASE4]);
  site.files = filesOf({ base: ["2.1", nextEra], heartbeat: beatOfNextEra, position: "2.1" }, { on_demand: true });
  assert.deepEqual(await round(), ["replaced", "head", baseName("2.1", nextEra)], "no delta leads to another era");
});

test("a base is read where the deltas are larger", async () => {
  const { round, site, verifier } = await start(filesOf(at2));
  await round();
  const deltas = [["1.2", "1.3", delta3], ["1.3", "1.4", Buffer.concat([delta4, Buffer.alloc(999)])]];
  site.files = filesOf({ base: ["1.4", base4], deltas, heartbeat: beat4, position: "1.4" });
  assert.deepEqual(await round(), ["replaced", "head", BASE4]);
  assert.equal(verifier.verifySync(second).code, "revoked_token");
});

// S03: a log that began again contains everything that was published.
test("a new era is read from its base", async () => {
  const { round, site, verifier } = await start(filesOf(at4));
  await round();
  site.files = filesOf({ base: ["2.1", nextEra], heartbeat: beatOfNextEra, position: "2.1" });
  assert.deepEqual(await round(), ["replaced", "head", baseName("2.1", nextEra)]);
  assert.equal(verifier.status().position, "2.1");
});

// S07: an unsigned answer, such as a 304, cannot keep a feed fresh.
test("a head that never changes is read with its tag, and the feed goes stale", async () => {
  const { round, site, time, verifier } = await start(filesOf(at2));
  await round();
  assert.deepEqual(await round(), ["ignored", "head"]);
  assert.match(site.requests.at(-1).headers["if-none-match"], /^"/);
  time.ahead = 620;
  await round();
  assert.equal(verifier.verifySync(await mint(key, { exp: now() + 3600 })).code, "stale_snapshot");
});

// P05: each publication may lose its part, or be in the middle of it.
test("a missing part leaves the held state, and the next head is followed", async () => {
  const { events, round, site, time, verifier } = await start(filesOf(at2));
  await round();
  const { "deltas/1.2_1.3": lost, ...rest } = filesOf(at3);
  site.files = rest;
  assert.deepEqual(await round(), ["feed_unreachable", "head", "deltas/1.2_1.3"]);
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.match(events.at(-1).detail, /deltas\/1\.2_1\.3: status 404/);
  assert.deepEqual(await round(), [undefined], "it backs off");
  site.files["deltas/1.2_1.3"] = lost;
  time.ahead = 31;
  assert.deepEqual(await round(), ["extended", "head", "deltas/1.2_1.3"], "the head is read again in full");
  assert.equal(verifier.verifySync(good).code, "revoked_token");
});

// E10: stores return older values, and so do caches.
test("an older head changes nothing", async () => {
  const { events, round, site, verifier } = await start(filesOf(at4));
  await round();
  const before = events.length;
  for (const older of [at2, at3]) {
    site.files = filesOf(older);
    assert.deepEqual(await round(), ["ignored", "head"]);
  }
  assert.equal(events.length, before, "that is no failure");
  assert.equal(verifier.status().position, "1.4");
  assert.equal(verifier.status().feed.failures, 0);
});

test("a position from which no part leads needs a newer base, and the same one is not read again", async () => {
  const { round, site, time, verifier } = await start(filesOf(at3));
  await round();
  const deltas = [["1.2", "1.4", wide]];
  site.files = filesOf({ base: ["1.2", base], deltas, heartbeat: beat4, position: "1.4" });
  assert.deepEqual(await round(), ["head_incomplete", "head"]);
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  site.files = filesOf({ base: ["1.4", base4], deltas, heartbeat: beat4, position: "1.4" });
  time.ahead = 31;
  assert.deepEqual(await round(), ["replaced", "head", BASE4]);
});

// S19: the mirrors of a head.
test("another head is read where one fails", async () => {
  const good = await serveFiles(filesOf(at3));
  open.push(good);
  const { round, site, verifier } = await start({});
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
  const both = new Verifier({ ...options, feed: { ...trust, head: [site.url, good.url] } });
  open.push(both);
  assert.deepEqual(await both.refresh(), { applied: "replaced" });
  assert.equal(both.status().feed.url, good.url);
  assert.equal((await round())[0], "feed_unreachable");
  assert.equal(verifier.isReady, false);
});

// S19, P06: a control plane with its stream, and the files while it is away.
test("a head is followed while no address of the feed answers", async () => {
  const stub = await startStub({ snapshot: base });
  stub.stream = openStream(eventOf(base));
  const site = await serveFiles(filesOf(at3));
  open.push(stub, site);
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  const verifier = await createVerifier(optionsOf(parts, { onEvent() {} }, { head: site.url, pollSeconds: 0.05 }));
  open.push(verifier);
  assert.ok(await until(() => verifier.status().following === "stream"));
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.deepEqual(site.asked, [], "the address is asked first");
  stub.isUp = false;
  stub.stream.reset();
  assert.ok(await until(() => verifier.verifySync(good).code === "revoked_token"), "by the head");
  assert.equal(verifier.status().following, "poll");
  stub.isUp = true;
  assert.ok(await until(() => verifier.status().following === "stream", 60), "back to the stream");
});

test("the query and the API key of a head are sent for its parts too", async () => {
  const { round, site, verifier } = await start(filesOf(at3), { apiKey: "osk_of_the_feed" });
  await round();
  for (const { headers } of site.requests) assert.equal(headers.authorization, "Bearer osk_of_the_feed");
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
  const secret = new Verifier({ ...options, feed: { ...trust, head: `${site.url}?sig=a%2Fb` } });
  open.push(secret);
  site.requests.length = 0;
  await secret.refresh();
  assert.deepEqual(site.requests.map(({ url }) => url),
    ["/pub/head?sig=a%2Fb", `/pub/${BASE}?sig=a%2Fb`, "/pub/deltas/1.2_1.3?sig=a%2Fb"]);
  assert.ok(!JSON.stringify(verifier.status()).includes("osk_"));
});

// S15, P06: with the whole package; the time to live of the head is that of a poll here.
test("a revocation reaches a verifier that follows a head", async () => {
  const site = await serveFiles(filesOf(at2));
  open.push(site);
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
  const verifier = await createVerifier({ ...options, feed: { ...trust, head: site.url, pollSeconds: 0.05 } });
  open.push(verifier);
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.equal(verifier.status().following, "poll");
  site.files = filesOf(at3);
  assert.ok(await until(() => verifier.verifySync(good).code === "revoked_token"));
});

test("a Map is a binding", async () => {
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
  const files = bindingOf(filesOf(at3));
  const verifier = new Verifier({ ...options, feed: { ...trust, head: files } });
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.deepEqual(await verifier.refresh(), { applied: "refreshed" });
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  assert.equal(verifier.status().feed.url, "binding");
  const withPrefix = new Map([...files].map(([name, bytes]) => [`eu/${name}`, bytes]));
  const other = new Verifier({ ...options, feed: { ...trust, head: { binding: withPrefix, prefix: "eu/" } } });
  assert.deepEqual(await other.refresh(), { applied: "replaced" });
});

test("options of a head that make no sense are refused", () => {
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey, url: "https://a/feed" });
  const wrong = {
    "feed.url": { head: "https://a/head", url: 5 },
    "feed.head": { head: "ftp://a/head" },
    "feed.head must": { head: { binding: 5 } },
    "feed.head must be": { head: [] },
    "feed.head must be 1": { head: null },
  };
  for (const [name, feed] of Object.entries(wrong)) {
    assert.throws(() => new Verifier({ ...options, feed: { ...trust, ...feed } }),
      ({ code, message }) => code === "invalid_options" && message.includes(name), name);
  }
});
