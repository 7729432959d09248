// Heads and parts that are wrong: by mistake, by an attacker who can write to the store, or by a slow store. The most
// that they can do is to delay.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier } from "offswitch";
import { optionsOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { bindingOf, filesOf, serveFiles } from "../support/head.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"] },
  { from: 2, to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 3, to: 3, issued_at: now() + 60 },
  { from: 2, to: 3, history: "fork" },
  { from: 2, to: 3, feed: "another" },
  { from: 2, to: 3, seed: 8 },
  { from: 3, to: 3, feed: "another" },
  { from: 3, to: 3, seed: 8 },
  { to: 2, history: "fork" },
  { from: 2, to: 2, issued_at: now() - 60 },
  { to: 1 },
]);
const [base, beat2, delta, beat3, fork, otherFeed, otherKey, beatOfOther, beatOfKey, forkedBase, oldBeat, oldBase] = snapshots;
const good = await mint(key);
const gone = await mint(key, { jti: "gone" });
const at2 = { base: ["1.2", base], heartbeat: beat2, position: "1.2" };
const at3 = { ...at2, deltas: [["1.2", "1.3", delta]], heartbeat: beat3, position: "1.3" };
const files3 = filesOf(at3);
const headWith = (more, parts = at3) => ({ ...files3, head: filesOf(parts, more).head });
const partIs = (content) => ({ ...files3, "deltas/1.2_1.3": content });
const turned = (bytes) => Buffer.from(bytes.map((byte, at) => (at === bytes.length >> 1 ? byte ^ 1 : byte)));
const text = (value) => ({ ...files3, head: Buffer.from(value) });
const [position, digest] = ["1.2", "0123456789abcdef"];

/** By what is wrong: the files, and the code of the failure. */
const HOSTILE = {
  "a head that is missing": [{}, "feed_unreachable"],
  "an empty head": [text(""), "head_malformed"],
  "a head that is HTML": [text("<html>"), "head_malformed"],
  "a head that is an array": [text("[]"), "head_malformed"],
  "a head that is null": [text("null"), "head_malformed"],
  "a head that is a number": [text("5"), "head_malformed"],
  "a head that is not UTF-8": [text(Buffer.from([0x7b, 0xff, 0x7d])), "head_malformed"],
  "a head of deep arrays": [text("[".repeat(60_000)), "head_malformed"],
  "a head that is too large": [text(JSON.stringify({ a: "x".repeat(65_536) })), "feed_unreachable"],
  "a truncated head": [text(files3.head.subarray(0, 100)), "head_malformed"],
  "another format": [headWith({ format: 2 }), "head_malformed"],
  "no format": [headWith({ format: undefined }), "head_malformed"],
  "the head of another feed": [headWith({ feed: "another" }), "wrong_feed"],
  "a feed that is no text": [headWith({ feed: ["feed"] }), "wrong_feed"],
  "no heartbeat": [headWith({ heartbeat: undefined }), "head_malformed"],
  "a heartbeat that is not base64": [headWith({ heartbeat: "<>" }), "head_malformed"],
  "a heartbeat that is too large": [headWith({ heartbeat: "A".repeat(12_000) }), "head_malformed"],
  "a heartbeat that is no snapshot": [headWith({ heartbeat: "AAAA" }), "snapshot_malformed"],
  "the heartbeat of another feed": [headWith({}, { ...at3, heartbeat: beatOfOther }), "wrong_feed"],
  "the heartbeat of another key": [headWith({}, { ...at3, heartbeat: beatOfKey }), "snapshot_unknown_key"],
  "a heartbeat with one bit changed": [headWith({}, { ...at3, heartbeat: turned(beat3) }), "snapshot_bad_signature"],
  "no base": [headWith({ base: undefined }), "head_malformed"],
  "no position": [headWith({ position: undefined }), "head_malformed"],
  "a position that is a number": [headWith({ position: 1.3 }), "head_malformed"],
  "a base without a position": [headWith({ base: { bytes: 5, digest } }), "head_malformed"],
  "a base without a digest": [headWith({ base: { bytes: 5, position } }), "head_malformed"],
  "a base with a path as its digest": [headWith({ base: { bytes: 5, digest: "../../secret/abc", position } }), "head_malformed"],
  "a base of no bytes": [headWith({ base: { bytes: 0, digest, position } }), "head_malformed"],
  "a base of half a byte": [headWith({ base: { bytes: 1.5, digest, position } }), "head_malformed"],
  "a base of many bytes in text": [headWith({ base: { bytes: "5", digest, position } }), "head_malformed"],
  "deltas that are no array": [headWith({ deltas: {} }), "head_malformed"],
  "a delta that is null": [headWith({ deltas: [null] }), "head_malformed"],
  "more deltas than any publisher lists": [
    headWith({ deltas: Array.from({ length: 600 }, (_, at) => ({ from: `1.${at}`, to: `1.${at + 1}`, bytes: 9 })) }),
    "head_malformed"],
  "a delta that leads back": [headWith({ deltas: [{ from: "1.3", to: "1.2", bytes: 9 }] }), "head_malformed"],
  "a delta that leads nowhere": [headWith({ deltas: [{ from: "1.2", to: "1.2", bytes: 9 }] }), "head_malformed"],
  "a part with a path as its position": [
    headWith({ deltas: [{ from: "1.2", to: "../../secret", bytes: 9 }] }), "head_malformed"],
  "a part with an address as its position": [
    headWith({ deltas: [{ from: "http://evil/?", to: "1.3", bytes: 9 }] }), "head_malformed"],
  "a position with a sign": [headWith({ deltas: [{ from: "1.2", to: "1.+3", bytes: 9 }] }), "head_malformed"],
  "a position with a zero before it": [headWith({ deltas: [{ from: "1.2", to: "1.03", bytes: 9 }] }), "head_malformed"],
  "a part that is larger than allowed": [partIs(Buffer.concat([delta, Buffer.alloc(100_000)])), "feed_unreachable"],
  "a delta that is missing": [partIs(undefined), "feed_unreachable"],
  "a delta that is empty": [partIs(Buffer.alloc(0)), "snapshot_malformed"],
  "a truncated delta": [partIs(delta.subarray(0, delta.length - 1)), "snapshot_bad_signature"],
  "a delta with one bit changed": [partIs(turned(delta)), "snapshot_bad_signature"],
  "another feed's delta": [partIs(otherFeed), "wrong_feed"],
  "a delta by another key": [partIs(otherKey), "snapshot_unknown_key"],
  "a delta of another history": [partIs(fork), "feed_fork"],
  "the held base in place of a delta": [partIs(base), "head_incomplete"],
  "an older base in place of a delta": [partIs(oldBase), "head_incomplete"],
  "a heartbeat in place of a delta": [partIs(beat2), "head_incomplete"],
  "a position that nothing leads to": [headWith({ deltas: [], position: "1.9" }), "head_incomplete"],
  "a heartbeat of an earlier position": [headWith({ heartbeat: beat2.toString("base64") }), "head_malformed"],
};

const sources = {
  "a site": async (files) => {
    const site = await serveFiles(files);
    open.push(site);
    return { head: site.url, replace: (next) => void (site.files = next) };
  },
  "a binding": async (files) => {
    let held = files;
    const head = { get: async (name) => bindingOf(held).get(name) ?? null };
    return { head, replace: (next) => void (held = next) };
  },
};
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(source, files, feed = {}) {
  const time = { ahead: 0 };
  const { head, replace } = await sources[source](files);
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey, time });
  const limits = { maxBytes: 100_000, timeoutSeconds: 0.5, ...feed };
  const verifier = new Verifier({ ...options, onEvent() {}, feed: { ...trust, head, ...limits } });
  open.push(verifier);
  return { replace, time, verifier };
}

for (const source of Object.keys(sources)) {
  for (const [what, [files, code]] of Object.entries(HOSTILE)) {
    // P05, P06, S09: the held state stays, and the next good head is followed.
    test(`${what}, in ${source}, changes nothing`, async () => {
      const { replace, time, verifier } = await start(source, filesOf(at2));
      await verifier.refresh();
      const age = verifier.status().ageSeconds;
      replace(files);
      time.ahead = 60;
      const result = await verifier.refresh();
      assert.equal(result.error, code, JSON.stringify(result));
      assert.equal(verifier.status().position === "1.3", verifier.verifySync(good).code === "revoked_token");
      assert.equal(verifier.verifySync(gone).code, "revoked_token");
      if (verifier.status().position === "1.2") {
        assert.ok(verifier.status().ageSeconds >= age + 55, "it looks no fresher");
      }
      assert.equal(verifier.status().feed.lastFailure.error, code);
      replace(files3);
      time.ahead = 120;
      assert.ok("applied" in (await verifier.refresh()));
      assert.equal(verifier.verifySync(good).code, "revoked_token");
      assert.equal(verifier.status().position, "1.3");
    });
  }
}

// P05: an attacker who can only write heads must not make verifiers read bases all the time.
test("no part is read for a head whose heartbeat is not signed by the feed", async () => {
  const asked = [];
  let held = files3;
  const head = { get: async (name) => void asked.push(name) ?? bindingOf(held).get(name) };
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
  for (const heartbeat of [beatOfKey, beatOfOther, turned(beat3)]) {
    held = headWith({}, { ...at3, heartbeat });
    const verifier = new Verifier({ ...options, onEvent() {}, feed: { ...trust, head } });
    assert.ok("error" in (await verifier.refresh()));
  }
  assert.deepEqual(asked, ["head", "head", "head"]);
});

// S05, P05: of two contents for one position neither is trusted until a newer base.
test("a base of another history is a fork", async () => {
  const { replace, verifier } = await start("a binding", filesOf(at2));
  await verifier.refresh();
  const lie = { position: "1.3", digest, bytes: forkedBase.length };
  replace({ ...headWith({ base: lie, deltas: [] }), [`bases/1.3-${digest}`]: forkedBase });
  assert.equal((await verifier.refresh()).error, "feed_fork");
  assert.equal(verifier.verifySync(good).code, "feed_fork");
});

// E01, S07: an attacker who keeps the head as it was can delay, and no longer than the allowed age.
test("a head that is kept back makes the verifier undecided in time", async () => {
  const { replace, time, verifier } = await start("a binding", filesOf({ ...at2, heartbeat: oldBeat }));
  await verifier.refresh();
  const lasting = await mint(key, { exp: now() + 3600 });
  for (time.ahead = 0; time.ahead < 590; time.ahead += 30) await verifier.refresh();
  time.ahead = 620;
  await verifier.refresh();
  assert.equal(verifier.verifySync(lasting).code, "stale_snapshot");
  replace(files3);
  await verifier.refresh();
  assert.equal(verifier.verifySync(lasting).code, "revoked_token");
});

/** By what is wrong with a binding: its `get`, and a part of the reason. */
const BINDINGS = {
  "never answers": [() => new Promise(() => {}), /in time/],
  "throws": [() => { throw new Error("limit reached"); }, /limit reached/],
  "rejects without a reason": [() => Promise.reject(undefined), /head: undefined/],
  "returns a number": [() => 5e9, /neither bytes nor text/],
  "returns an object": [() => ({}), /neither bytes nor text/],
  "returns true": [() => true, /neither bytes nor text/],
  "has nothing": [() => undefined, /no such object/],
  "is much too large": [() => ({ size: 2 ** 40, arrayBuffer() { throw new Error("it was read"); } }), /larger/],
  "is larger than it says": [() => ({ size: 5, arrayBuffer: () => new ArrayBuffer(70_000) }), /larger/],
  "never ends": [() => ({ arrayBuffer: () => new Promise(() => {}) }), /in time/],
  "says that nothing is new although nothing is held": [() => ({ etag: "x" }), /neither bytes nor text/],
};

for (const [what, [get, reason]] of Object.entries(BINDINGS)) {
  // P06: slow and broken stores.
  test(`a binding that ${what} leaves the verifier undecided`, async () => {
    const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
    const head = { get };
    const verifier = new Verifier({ ...options, feed: { ...trust, head, timeoutSeconds: 0.2 }, onEvent() {} });
    const result = await verifier.refresh();
    assert.equal(result.error, "feed_unreachable");
    assert.match(result.detail, reason);
    assert.equal(verifier.verifySync(good).code, "no_snapshot");
  });
}

// E04: a caller that gives up.
test("a round of a head ends with its signal", async () => {
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey });
  const head = { get: () => new Promise(() => {}) };
  const verifier = new Verifier({ ...options, feed: { ...trust, head }, onEvent() {} });
  const began = performance.now();
  await verifier.refresh({ signal: AbortSignal.timeout(100) });
  assert.ok(performance.now() - began < 10_000);
});
