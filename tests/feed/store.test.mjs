// The state that a verifier keeps across restarts; no restart lowers its floor.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { keep } from "offswitch/stores";
import { chance, shuffled, upTo } from "../support/chance.mjs";
import { until, verifierOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import {
  fakeFeed, limitedPlace, memoryPlace, packed, positionIn, slowPlace,
} from "../support/places.mjs";
import { trapping } from "../support/traps.mjs";

const key = await signingKey("EdDSA");
const years = { valid_until: now() + 1e8 };
const { publicKey, snapshots } = sign([
  { to: 2, tokens: ["a"], ...years },
  { from: 2, to: 3, tokens: ["b"], ...years },
  { from: 3, to: 5, tokens: ["c"], ...years },
  { to: 5, tokens: ["a", "b", "c"], ...years },
  { from: 5, to: 6, tokens: ["d"], ...years },
  { from: 6, to: 6, ...years },
  { era: 2, to: 1, tokens: ["a", "b", "c", "d"], salt: 6, ...years },
  { era: 2, from: 1, to: 2, tokens: ["e"], salt: 6, ...years },
]);
const [base, delta, second, newer, third, , nextEra] = snapshots;
const tokens = {};
for (const jti of "abcde") tokens[jti] = await mint(key, { jti, exp: now() + 80_000 });
const feed = fakeFeed();
after(feed.stop);

const parts = { key, publicKey, url: "http://feed.test/feed" };
/** A verifier that starts with the content of `store`. */
const start = (store) => verifierOf(parts, {}, { maxStaleness: 86_400, store });

/** Follows one answer of the feed, long enough after the last one for everything to be stored. */
async function follow({ time, verifier }, bytes) {
  time.ahead += 61;
  feed.bytes = bytes;
  return verifier.refresh();
}

const codes = (verifier) => Object.values(tokens).map((token) => verifier.verifySync(token).code);

// S03, E02: a restarted verifier continues at its position without the feed.
test("a verifier that restarts without a feed has its previous state", async () => {
  const store = memoryPlace();
  const one = start(store);
  await follow(one, base);
  await follow(one, delta);
  await follow(one, second);
  const before = codes(one.verifier);
  const other = start(store);
  assert.equal(other.verifier.verifySync(tokens.e).code, "no_snapshot");
  await follow(other, undefined);
  assert.equal(other.verifier.since(), "1.5");
  assert.deepEqual(codes(other.verifier), before);
  const [a, b, c, d, e] = before;
  assert.deepEqual([a, b, c], Array(3).fill("revoked_token"));
  assert.deepEqual([d, e], Array(2).fill("valid"));
  assert.equal(positionIn(store.kept.get("floor")), "1.5");
});

// S03: if only the floor was stored, an older snapshot is not enough to accept a token.
test("a floor without its snapshots decides nothing until the feed has reached it", async () => {
  const store = memoryPlace();
  const one = start(store);
  for (const bytes of [base, delta, second]) await follow(one, bytes);
  store.kept.set("snapshots", packed(base));
  const other = start(store);
  await follow(other, base);
  assert.equal(other.verifier.verifySync(tokens.e).code, "no_snapshot");
  assert.equal(other.verifier.verifySync(tokens.a).code, "revoked_token");
  assert.deepEqual(await follow(other, newer), { applied: "replaced" });
  assert.equal(other.verifier.verifySync(tokens.e).code, "valid");
});

const order = (position) => position.split(".").map(Number);
const isBefore = ([era, seq], [otherEra, otherSeq]) =>
  era < otherEra || (era === otherEra && seq < otherSeq);

// S03: eight snapshots in any order, with a restart anywhere: the floor only rises, and no token that was
// refused as revoked is ever accepted again.
test("no order of snapshots and no restart lowers the floor or brings a token back", async () => {
  const random = chance(7);
  for (let round = 0; round < 120; round += 1) {
    const sequence = shuffled(snapshots, random);
    const restarts = new Set([round % 9, upTo(random, 9)]);
    const store = memoryPlace();
    const revoked = new Set();
    let floor = [0, 0];
    let at = start(store);
    for (const [index, bytes] of [...sequence, undefined].entries()) {
      if (restarts.has(index)) at = start(store);
      await follow(at, bytes);
      const context = `round ${round}, step ${index}`;
      const kept = store.kept.get("floor");
      const reached = kept === undefined ? [0, 0] : order(positionIn(kept));
      assert.ok(!isBefore(reached, floor), `${context}: ${floor} became ${reached}`);
      floor = reached;
      const { position } = at.verifier.status();
      codes(at.verifier).forEach((code, nth) => {
        if (code === "revoked_token") revoked.add(nth);
        else if (revoked.has(nth)) assert.equal(code, "no_snapshot", `${context}: token ${nth}`);
        if (code === "valid") assert.ok(!isBefore(order(position), floor), `${context}: too old`);
      });
    }
    assert.equal(positionIn(store.kept.get("floor")).split(".")[0], "2");
  }
});

// S03: a verifier that is ahead of its own store stays ahead.
test("a store with older values does not change the held state", async () => {
  const store = memoryPlace({ floor: base, snapshots: packed(base, delta) });
  const at = start(store);
  at.verifier.apply(newer);
  at.verifier.apply(third);
  await follow(at, undefined);
  assert.equal(at.verifier.since(), "1.6");
  assert.equal(at.verifier.verifySync(tokens.e).code, "valid");
  await follow(at, nextEra);
  assert.equal(at.verifier.since(), "2.1");
  await follow(start(store), undefined);
  assert.equal(positionIn(store.kept.get("floor")), "2.1");
});

// S03: the isolates of a worker and the tabs of a browser share one place.
test("no verifier overwrites a floor in a shared place that is beyond its own", async () => {
  const store = memoryPlace();
  const [behind, ahead] = [start(store), start(store)];
  await follow(behind, base);
  await follow(ahead, newer);
  const { length } = store.writes;
  await follow(behind, delta);
  assert.equal(positionIn(store.kept.get("floor")), "1.5");
  assert.equal(store.writes.length, length, "neither the floor nor the snapshots");
  assert.deepEqual([behind.verifier.since(), behind.verifier.verifySync(tokens.e).code], ["1.3", "valid"]);
  behind.verifier.apply(second);
  behind.verifier.apply(third);
  behind.verifier.close();
  assert.ok(await until(() => positionIn(store.kept.get("floor")) === "1.6"), "also at its close");
});

// S03: KV accepts one write per second and key, and a large base is not written with each delta.
test("floor and snapshots are written when they change, and not too often", async () => {
  const store = memoryPlace();
  const at = start(store);
  const steps = [
    [0, base], [1, delta], [1, second], [1, third], [1, third], [70, third], [70, third],
  ];
  for (const [seconds, bytes] of steps) {
    at.time.ahead += seconds;
    feed.bytes = bytes;
    await at.verifier.refresh();
  }
  assert.deepEqual(store.writes, ["floor", "snapshots", "floor", "floor", "snapshots"]);
  const other = start(store);
  await follow(other, undefined);
  assert.equal(other.verifier.since(), "1.6");
});

// S03: a process that ends in an orderly way loses none of its state.
test("a verifier that is closed has stored its floor", async () => {
  const store = memoryPlace();
  const { time, verifier } = start(store);
  for (const bytes of [base, delta]) {
    feed.bytes = bytes;
    await verifier.refresh();
    time.ahead += 1;
  }
  verifier.close();
  await new Promise((resume) => setTimeout(resume, 20));
  assert.equal(positionIn(store.kept.get("floor")), "1.3");
});

// S03: after a crash between two writes the floor is what counts.
test("the floor is stored before the snapshots that lead to it", async () => {
  const store = memoryPlace();
  const at = start(store);
  await follow(at, base);
  assert.deepEqual(store.writes, ["floor", "snapshots"]);
});

// E03, S03: a caller that reads snapshots into one buffer overwrites the bytes after apply.
test("a buffer that is reused after apply changes neither the held nor the stored state", async () => {
  const store = memoryPlace();
  const at = start(store);
  await follow(at, undefined);
  const { verifier } = at;
  const buffer = new Uint8Array(4096);
  for (const bytes of [base, delta, second]) {
    buffer.set(bytes);
    assert.ok("applied" in verifier.apply(buffer.subarray(0, bytes.length)));
    buffer.fill(0);
  }
  const before = codes(verifier);
  assert.deepEqual(before.slice(1, 3), ["revoked_token", "revoked_token"]);
  assert.equal(trapping(() => verifier.verifySync(tokens.a)).code, "verifier_failed");
  assert.deepEqual(codes(verifier), before);
  assert.equal(verifier.since(), "1.5");
  verifier.close();
  assert.ok(await until(() => store.kept.has("floor")));
  assert.deepEqual(Buffer.from(store.kept.get("floor")), second);
});

for (const end of ["lands", "fails"]) {
  // S03: a state that arrives while the snapshots are being written is stored too, whether the write succeeds
  // or not.
  test(`a verifier that is closed while a write of snapshots ${end} has stored its floor`, async () => {
    const { kept, read, write } = memoryPlace();
    let finish;
    const store = keep({
      read,
      write: (name, bytes) => name === "floor" ? write(name, bytes) : new Promise((resolve, reject) => {
        finish = () => (end === "lands" ? resolve() : reject(new Error("full")));
      }),
    });
    const at = start(store);
    const round = follow(at, base);
    assert.ok(await until(() => finish !== undefined));
    at.verifier.apply(delta);
    at.verifier.close();
    finish();
    await round;
    assert.ok(await until(() => positionIn(kept.get("floor")) === "1.3"), positionIn(kept.get("floor")));
  });
}

const LARGEST = 65_536;
const { snapshots: [large, beat] } = sign([
  { to: 7, tokens: ["a"], extra: 20_000, ...years },
  { from: 7, to: 7, ...years },
]);

// S03: the floor is written every other second, so it is the shortest statement with this position.
test("the floor is stored as a heartbeat once there is one, and stays that short", async () => {
  assert.ok(large.length > LARGEST, `${large.length} bytes`);
  const store = memoryPlace();
  const at = start(store);
  await follow(at, large);
  assert.deepEqual(Buffer.from(store.kept.get("floor")), large);
  for (const bytes of [beat, large]) {
    assert.deepEqual(await follow(at, bytes), { applied: "refreshed" });
    assert.deepEqual(Buffer.from(store.kept.get("floor")), beat);
  }
});

// S03: a place for small values still remembers how far the feed had come.
test("a place for at most 64 KiB stores a floor although the base is larger", async () => {
  const store = limitedPlace(LARGEST);
  const one = start(store);
  await follow(one, large);
  assert.equal(store.kept.size, 0);
  await follow(one, beat);
  assert.equal(positionIn(store.kept.get("floor")), "1.7");
  const other = start(store);
  await follow(other, newer);
  assert.equal(other.verifier.verifySync(tokens.e).code, "no_snapshot", "older than the floor");
  await follow(other, large);
  assert.equal(other.verifier.verifySync(tokens.e).code, "valid");
});

// S03: the last write to complete is the newest floor, however slow the place is.
test("writes to a slow place never overlap, and the last floor is the one that stays", async () => {
  const { most, store } = slowPlace(60);
  const at = start(store);
  feed.bytes = base;
  const rounds = [at.verifier.refresh()];
  assert.ok(await until(() => most.under === 1), "the first floor is being written");
  for (const bytes of [delta, second]) {
    feed.bytes = bytes;
    at.time.ahead += 3;
    rounds.push(at.verifier.refresh());
    await until(() => at.verifier.since() === positionIn(bytes));
  }
  at.verifier.apply(newer);
  at.verifier.apply(third);
  at.verifier.close();
  await Promise.all(rounds);
  assert.ok(await until(() => store.kept.has("floor") && most.under === 0));
  await new Promise((resume) => setTimeout(resume, 200));
  assert.equal(most.atOnce, 1);
  assert.equal(positionIn(store.kept.get("floor")), "1.6");
});
