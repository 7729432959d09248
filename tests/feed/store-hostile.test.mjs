// Stores that lie, fail, hang or belong to another verifier.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { fileStore } from "offswitch/file-store";
import { keep } from "offswitch/stores";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { eventOf, openStream, optionsOf, until, verifierOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { memoryPlace, packed } from "../support/places.mjs";
import { startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["gone"] },
  { from: 2, to: 3, tokens: ["token"] },
  { to: 1 },
  { to: 9, feed: "another" },
  { to: 9, seed: 8 },
  { to: 2, history: "fork" },
  { to: 3, tokens: ["gone", "token"], issued_at: now() - 500, valid_until: now() - 400 },
  { to: 3, tokens: ["gone", "token"] },
  { era: now(), to: 1 },
  { era: now(), to: 2, tokens: ["token"] },
]);
const [base, delta, older, otherFeed, otherKey, fork, stale, newer, dated, datedNewer] = snapshots;
const good = await mint(key);
const gone = await mint(key, { jti: "gone" });
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(store, more = {}) {
  const stub = await startStub({ snapshot: base });
  open.push(stub);
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  const events = [];
  const onEvent = (event) => events.push(event);
  return { events, stub, ...verifierOf(parts, { onEvent }, { store, ...more }) };
}

/** The problems that were reported about the store. */
const problems = (events) => events.filter(({ error }) => error === "store_failed");

const noise = (size) => {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 1) bytes[at] = (at * 151 + 77) % 256;
  return new Uint8Array(bytes);
};
const lengthOnly = (length) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return new Uint8Array(bytes);
};

/** The answers of a store, by their defect. */
const LIES = {
  nothing: {},
  "empty bytes": { floor: new Uint8Array(), snapshots: new Uint8Array() },
  noise: { floor: noise(47), snapshots: noise(10_000) },
  "a floor that is a byte too long": { floor: new Uint8Array([...newer, 0]) },
  "text for bytes": { floor: "1.2", snapshots: "OFSW" },
  "numbers, null and objects": { floor: 12, snapshots: null },
  "an ArrayBuffer": { floor: new Uint8Array(newer).buffer, snapshots: packed(base).buffer },
  "an older base": { floor: older, snapshots: packed(older) },
  "another feed's base": { snapshots: packed(otherFeed) },
  "a stranger's base": { snapshots: packed(otherKey) },
  "one good and one corrupt": { snapshots: packed(base, noise(500), delta.subarray(9)) },
  "a snapshot that is cut off": { snapshots: packed(base).subarray(0, base.length - 1) },
  "a length of four gigabytes": { snapshots: lengthOnly(0xffffffff) },
  "lengths of nothing": { snapshots: new Uint8Array(40_000) },
  "a snapshot thousands of times": { snapshots: packed(...Array(3000).fill(older)) },
  "a delta without its base": { snapshots: packed(delta) },
  "nothing but zeros": { floor: new Uint8Array(48), snapshots: new Uint8Array(48) },
};

for (const [what, kept] of Object.entries(LIES)) {
  // S03, S09: a store's answers are checked like any others, and the feed replaces what is lost.
  test(`a store that answers ${what} loses only its content`, async () => {
    const { verifier } = await start(keep({
      read: async (name) => kept[name],
      write: async () => {},
    }));
    assert.ok("applied" in (await verifier.refresh()));
    assert.equal(verifier.verifySync(good).code, "valid");
    assert.equal(verifier.verifySync(gone).code, "revoked_token");
    assert.equal(verifier.since(), "1.2");
  });
}

const BROKEN = {
  throws: () => { throw new Error("no"); },
  rejects: async () => { throw "not even an error"; },
  "is no promise": () => 5,
  "answers with what cannot be read": async () => new Proxy({}, { getPrototypeOf() { throw 1; } }),
};
for (const [what, call] of Object.entries(BROKEN)) {
  // S03, S09: reading and writing may fail in any way.
  test(`a store that ${what} counts as empty`, async () => {
    const { stub, verifier, time } = await start(keep({ read: call, write: call }));
    assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
    stub.snapshot = delta;
    time.ahead = 100;
    assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  });
}

// E01, S07: a state that was stored for too long is as stale as one from the feed.
test("an old stored state is stale, and still revokes", async () => {
  const { stub, verifier } = await start(memoryPlace({ snapshots: packed(stale) }));
  stub.isUp = false;
  await verifier.refresh();
  const other = await mint(key, { jti: "other" });
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  assert.equal(verifier.verifySync(other).code, "stale_snapshot");
});

// S03: the stored history is not the feed's: a newer base ends that, and until then nothing is decided.
test("a stored fork is noticed", async () => {
  const { stub, verifier } = await start(memoryPlace({ snapshots: packed(fork) }));
  const result = await verifier.refresh();
  assert.equal(result.error, "feed_fork");
  assert.equal(verifier.verifySync(good).code, "feed_fork");
  stub.snapshot = delta;
  assert.equal(verifier.verifySync(good).outcome, "undecided");
});

for (const [what, floor] of Object.entries({
  "full of ones": new Uint8Array(48).fill(255),
  "of noise": noise(48),
  "of another feed": otherFeed,
  "of a stranger": otherKey,
  "of which one bit was changed": Uint8Array.from(newer, (byte, at) => at === 99 ? byte ^ 1 : byte),
})) {
  // S03, S09: one bad write or one changed bit must not disable the verifier for ever.
  test(`a floor ${what} does not prevent verdicts for ever`, async () => {
    const { stub, time, verifier } = await start(memoryPlace({ floor }));
    for (const bytes of [base, base, newer]) {
      stub.snapshot = bytes;
      await verifier.refresh();
      time.ahead += 31;
    }
    assert.equal(verifier.verifySync(await mint(key, { jti: "other" })).code, "valid");
  });
}

// S03: two feeds in one place, such as one KV namespace for two verifiers: they do not mix.
test("two feeds that share a place do not share their floors", async () => {
  const place = memoryPlace();
  const { snapshots: [far] } = sign([{ to: 900, feed: "far" }]);
  const one = await start(place, { id: "far" });
  one.stub.snapshot = far;
  await one.verifier.refresh();
  assert.equal(one.verifier.since(), "1.900");
  const other = await start(place);
  await other.verifier.refresh();
  assert.equal(other.verifier.verifySync(good).code, "valid");
});

// S08, E08: a stored value that exceeds the limit for snapshots must not enter wasm, whose memory never shrinks.
test("a store cannot make the verifier load more than a feed could", async () => {
  const huge = packed(new Uint8Array(64 << 20), base);
  const { verifier } = await start(memoryPlace({ snapshots: huge }), { maxBytes: 1 << 20 });
  const before = verifier.status().instance.memoryBytes;
  await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "valid");
  const grown = (verifier.status().instance.memoryBytes - before) / (1 << 20);
  assert.ok(grown < 16, `${grown} MiB more`);
});

// S03: a place may keep the bytes that it gets without copying, and change them.
test("a store that changes the bytes it gets changes nothing in the verifier", async () => {
  const spoil = async (_, bytes) => void bytes.fill(0);
  const { stub, time, verifier } = await start(keep({ read: async () => undefined, write: spoil }));
  await verifier.refresh();
  stub.snapshot = delta;
  time.ahead = 61;
  await verifier.refresh();
  const { judge, verify } = WasmVerifier.prototype;
  const trap = () => { throw new WebAssembly.RuntimeError("unreachable"); };
  Object.assign(WasmVerifier.prototype, { judge: trap, verify: trap });
  assert.equal(verifier.verifySync(good).code, "verifier_failed");
  Object.assign(WasmVerifier.prototype, { judge, verify });
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  assert.equal(verifier.since(), "1.3");
});

// S03, S09: a read that fails does not show what is stored, which may be newer than the feed's answer.
test("stored values are not overwritten until a read has succeeded", async () => {
  const place = memoryPlace({ floor: newer });
  let reads = 0;
  let isDown = true;
  const read = async (name) => {
    reads += 1;
    if (isDown) throw new Error("no place to read from");
    return place.read(name);
  };
  const { events, stub, time, verifier } = await start(keep({ read, write: place.write }));
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.equal(verifier.verifySync(good).code, "valid", "the floor is unknown yet");
  assert.deepEqual(problems(events).map(({ type }) => type), ["failure"]);
  assert.match(problems(events)[0].detail, /no place to read from/);
  const before = reads;
  isDown = false;
  time.ahead = 29;
  await verifier.refresh();
  assert.equal(reads, before, "the store is not read again for 30 s");
  assert.deepEqual(place.writes, []);
  time.ahead = 31;
  await verifier.refresh();
  assert.ok(reads > before);
  assert.deepEqual(Buffer.from(place.kept.get("floor")), newer);
  assert.equal(verifier.verifySync(await mint(key, { jti: "other" })).code, "no_snapshot");
  stub.snapshot = newer;
  time.ahead = 62;
  await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  assert.equal(problems(events).length, 1);
});

// S03, S09: an orderly close does not overwrite them either.
test("a verifier that is closed before it could read leaves the stored values", async () => {
  const place = memoryPlace({ floor: newer });
  const read = async () => { throw new Error("no"); };
  const { verifier } = await start(keep({ read, write: place.write }));
  await verifier.refresh();
  verifier.close();
  await new Promise((resume) => setTimeout(resume, 50));
  assert.deepEqual(place.writes, []);
  assert.deepEqual(Buffer.from(place.kept.get("floor")), newer);
});

// S03, S09: with a clock that is days behind, a real floor looks impossible. It is read again when the clock
// may have been corrected; until then it is not overwritten.
test("a floor that looks impossible because of a wrong clock is kept and read again", async () => {
  const place = memoryPlace({ floor: datedNewer });
  let reads = 0;
  const read = (name) => {
    reads += 1;
    return place.read(name);
  };
  const { events, stub, time, verifier } = await start(keep({ read, write: place.write }));
  stub.snapshot = dated;
  time.ahead = -3 * 86_400;
  await verifier.refresh();
  await verifier.refresh();
  assert.equal(reads, 1, "not read again within 30 s");
  assert.deepEqual(problems(events).map(({ detail }) => /clock/.test(detail)), [true]);
  assert.deepEqual(place.writes, []);
  time.ahead = 0;
  await verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "no_snapshot", "the feed's state is below the floor");
  verifier.close();
  assert.deepEqual(Buffer.from(place.kept.get("floor")), datedNewer);
});

const FOREIGN = { "a stranger's": otherKey, "another feed's": otherFeed };
for (const [what, floor] of Object.entries(FOREIGN)) {
  // S03, S13: if the key was replaced, the floor that it had signed is lost: that must be reported.
  test(`a stored floor of ${what} is reported`, async () => {
    const { events, verifier } = await start(memoryPlace({ floor }));
    await verifier.refresh();
    assert.deepEqual(problems(events).map(({ type }) => type), ["failure"]);
    assert.match(problems(events)[0].detail, /floor/);
    assert.equal(verifier.verifySync(good).code, "valid");
  });
}

// E12: the normal case is no failure.
test("a store that works reports no failure", async () => {
  for (const place of [memoryPlace(), memoryPlace({ floor: base, snapshots: packed(base) })]) {
    const { events, stub, time, verifier } = await start(place);
    for (const bytes of [base, delta, newer]) {
      stub.snapshot = bytes;
      time.ahead += 61;
      await verifier.refresh();
    }
    assert.deepEqual(problems(events), []);
  }
});

/** Makes allocations of this size fail until the returned function is called. */
function withoutMemoryFor(size) {
  const { Uint8Array: original } = globalThis;
  globalThis.Uint8Array = new Proxy(original, {
    construct(target, args, newTarget) {
      if (args[0] === size) throw new RangeError("Array buffer allocation failed");
      return Reflect.construct(target, args, newTarget);
    },
  });
  return () => void (globalThis.Uint8Array = original);
}

// S09, E03: stored snapshots may have hundreds of megabytes, and there may be no memory to pack them.
test("a keeper without memory for packing only fails in its own work", async () => {
  const stub = await startStub({ snapshot: base });
  const stream = stub.stream = openStream();
  const place = memoryPlace();
  const events = [];
  const time = { ahead: 0 };
  const parts = { key, publicKey, url: `${stub.url}/feed`, time };
  const more = { onEvent: (event) => events.push(event) };
  const feed = { store: place, pollSeconds: 0.05 };
  const verifier = await createVerifier(optionsOf(parts, more, feed));
  open.push(verifier, stub);
  assert.ok(await until(() => stream.followers.size === 1, 30));
  const unhandled = [];
  const note = (reason) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  // The stub answers the second round of the start with the base again, which counts as a heartbeat.
  const giveBack = withoutMemoryFor(packed(base, base, delta).length);
  try {
    time.ahead = 61;
    stream.send(delta);
    assert.ok(await until(() => verifier.verifySync(good).code === "revoked_token"));
    assert.ok(await until(() => place.writes.length === 3), "the floor is still stored");
    await new Promise((resume) => setTimeout(resume, 50));
  } finally {
    giveBack();
    process.off("unhandledRejection", note);
  }
  assert.deepEqual(unhandled, []);
  assert.match(problems(events).map(({ detail }) => detail).join(), /allocation failed/);
  time.ahead = 122;
  stream.send(newer);
  const isKept = () => place.writes.length === 4;
  assert.ok(await until(isKept), "it is stored once there is memory again");
  assert.deepEqual(place.writes.slice(2), ["floor", "snapshots"]);
  assert.equal(stream.requests.length, 1);
});

// S03: below the floor nothing is decided, so the other requests wait for the request that reads now.
test("a read that fails late does not end the wait for the request that took over", async (context) => {
  const reads = [];
  const read = (name) => name === "snapshots" ? Promise.resolve(undefined) : new Promise((resolve, reject) => {
    reads.push({ reject, resolve });
  });
  const { verifier } = await start(keep({ read, write: async () => {} }));
  const { now } = performance;
  context.after(() => { performance.now = now; });
  const first = verifier.refresh();
  assert.ok(await until(() => reads.length === 1));
  performance.now = () => now.call(performance) + 5_500;
  const second = verifier.refresh();
  assert.ok(await until(() => reads.length === 2));
  reads[0].reject(new Error("cut off"));
  await first;
  let isOver = false;
  const third = verifier.refresh().then(() => { isOver = true; });
  await new Promise((resume) => setTimeout(resume, 200));
  assert.ok(!isOver, "the third request continued without the floor");
  reads[1].resolve(newer);
  await Promise.all([second, third]);
  assert.equal(verifier.verifySync(await mint(key, { jti: "other" })).code, "no_snapshot");
});

// E02: a store that never answers delays a start by some seconds, and no verdict.
test("a store whose reads never settle blocks no request for ever", { timeout: 60_000 }, async () => {
  const never = () => new Promise(() => {});
  const { verifier } = await start(keep({ read: never, write: async () => {} }));
  const refresh = verifier.refresh();
  assert.equal(verifier.verifySync(good).code, "no_snapshot");
  assert.deepEqual(await refresh, { applied: "replaced" });
  assert.equal(verifier.verifySync(good).code, "valid");
});

// S15, S09: storing only helps the next start; revocations do not wait for it.
test("a store whose writes never settle delays no revocation", { timeout: 60_000 }, async () => {
  const stub = await startStub({ snapshot: base });
  const stream = stub.stream = openStream();
  const store = keep({ read: async () => undefined, write: () => new Promise(() => {}) });
  const parts = { key, publicKey, url: `${stub.url}/feed` };
  const verifier = await createVerifier(optionsOf(parts, {}, { store, pollSeconds: 0.05 }));
  open.push(verifier, stub);
  assert.ok(await until(() => stream.followers.size === 1, 30));
  stream.write(eventOf(base));
  stream.write(eventOf(delta));
  const isSeen = await until(() => verifier.verifySync(good).code === "revoked_token", 4);
  assert.ok(isSeen, "the delta waits until the store's write times out");
});
