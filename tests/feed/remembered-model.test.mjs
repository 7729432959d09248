// The memory for tokens, compared with models that are simple enough to be right.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Verifier } from "offswitch";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { NO_SLOT } from "../../verifier-wasm/js/engine/layout.js";
import { NONE, Remembered } from "../../verifier-wasm/js/engine/remembered.js";
import { chance, upTo } from "../support/chance.mjs";
import { optionsOf } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";

/** Texts like tokens; many have the same end, so that they share a bucket. */
function texts(count, random) {
  const ends = ["aaaaaaaa", "bbbbbbbb", "x"];
  return Array.from({ length: count }, (_, index) => {
    const long = random() < 0.1 ? "y".repeat(upTo(random, 3000)) : "";
    return `${index}.${long}.${random() < 0.7 ? ends[upTo(random, 3)] : `${random()}`}`;
  });
}

/** Remembers a token like the engine; returns its slot. */
function put(remembered, token, claims = {}) {
  const slot = remembered.reserve();
  remembered.vacate();
  remembered.put(token, claims, JSON.stringify(claims));
  return slot;
}

// V17: a plain Map determines the allowed results; the bounds hold at every step.
test("a look-up finds the claims that were stored for exactly that token, within the bounds", () => {
  for (let seed = 0; seed < 30; seed += 1) {
    const random = chance(seed);
    const capacity = [1, 2, 3, 8, 50][seed % 5];
    const remembered = new Remembered(capacity);
    const model = new Map();
    const pool = texts(capacity * 4, random);
    let reserved;
    for (let step = 0; step < 600; step += 1) {
      const token = pool[upTo(random, pool.length)];
      const choice = random();
      if (choice < 0.45) {
        const found = remembered.find(token);
        if (found !== NONE) {
          assert.equal(remembered.claims[found], model.get(token), "the claims stored for it last");
          assert.equal(remembered.claimsJson[found], JSON.stringify(model.get(token)));
        }
      } else if (choice < 0.6) {
        // Refused tokens reserve a slot and store nothing.
        const slot = remembered.reserve();
        assert.ok(slot >= 0 && slot < capacity);
        if (reserved !== undefined) assert.equal(slot, reserved, "the same until it is used");
        reserved = slot;
      } else if (choice < 0.99) {
        if (remembered.find(token) !== NONE) continue; // a remembered token is not read
        const claims = { step };
        const slot = put(remembered, token, claims);
        reserved = undefined;
        model.set(token, claims);
        assert.ok([slot, NONE].includes(remembered.find(token)));
      } else {
        remembered.clear();
        model.clear();
        reserved = undefined;
      }
      const held = pool.filter((one) => remembered.find(one) !== NONE);
      assert.ok(held.length <= capacity, `${held.length} of ${capacity}`);
      const slots = held.map((one) => remembered.find(one));
      assert.ok(slots.every((slot) => slot >= 0 && slot < capacity));
      assert.equal(new Set(slots).size, held.length, "a slot for each");
      const characters = held.reduce((sum, one) => sum + one.length, 0);
      assert.ok(characters <= capacity * 1024, `${characters} characters of ${capacity} tokens`);
    }
  }
});

// V17: refused tokens displace nothing, and used tokens stay longer than unused ones.
test("a token in use outlives those that are seen once", () => {
  const remembered = new Remembered(10);
  put(remembered, "in use.a.aaaaaaaa");
  for (let index = 0; index < 1000; index += 1) {
    assert.notEqual(remembered.find("in use.a.aaaaaaaa"), NONE, `after ${index}`);
    remembered.reserve();
    put(remembered, `once ${index}.a.aaaaaaaa`);
  }
});

// V17: while the host checks signatures asynchronously, several requests may find the same token valid at the
// same time.
test("a token that is stored several times takes one place", () => {
  const remembered = new Remembered(4);
  for (const token of ["a.a.aaaaaaaa", "b.b.aaaaaaaa"]) put(remembered, token);
  for (let times = 0; times < 20; times += 1) put(remembered, "c.c.aaaaaaaa");
  for (const token of ["a.a.aaaaaaaa", "b.b.aaaaaaaa", "c.c.aaaaaaaa"]) {
    assert.notEqual(remembered.find(token), NONE, token);
  }
});

test("a capacity of zero keeps nothing", () => {
  const remembered = new Remembered(0);
  assert.equal(put(remembered, "a.b.c"), NO_SLOT);
  assert.equal(remembered.find("a.b.c"), NONE);
});

const keys = [await signingKey("EdDSA"), await signingKey("EdDSA", "second")];
const LETTERS = "abcdefgh";
const { publicKey, snapshots } = sign([
  { to: 1 },
  ...[...LETTERS].map((jti, at) => ({ from: at + 1, to: at + 2, tokens: [jti], epoch: at * 5 })),
  { era: 2, to: 1, salt: 6, tokens: [..."abc"], valid_until: now() + 4000 },
]);
const stranger = await signingKey("EdDSA");

/** Valid tokens, tokens that expire soon, tokens of both keys, long ones, and bad ones. */
const pool = [];
for (const jti of LETTERS) {
  for (const key of keys) {
    pool.push(await mint(key, { jti }), await mint(key, { jti, exp: now() + 60 }));
  }
  pool.push(await mint(stranger, { jti }), await mint(keys[0], { jti, aud: "web" }));
  pool.push(await mint(keys[0], { jti: `${jti}-long`, text: "z".repeat(upTo(chance(9), 6000)) }));
  pool.push(pool[0].slice(0, -2) + pool[0].at(-2) + jti);
}

// V17, E03: with any capacity, in any order of tokens, revocations, times, key sets and traps, the verdicts
// equal those of a verifier that remembers nothing.
test("a verifier that remembers tokens gives the same verdicts as one that does not", async () => {
  for (const [seed, capacity] of [[1, 1], [2, 3], [3, 8], [4, 30], [5, 10_000]]) {
    const random = chance(seed);
    let time = now();
    const clock = () => time;
    const make = (rememberedTokens) => {
      const parts = { key: keys[0], publicKey, url: "http://feed.test/feed" };
      const jwks = { keys: keys.map(({ jwk }) => jwk) };
      return new Verifier(optionsOf(parts, { clock, keys: jwks, rememberedTokens }, {}));
    };
    const all = [make(capacity), make(0)];
    let next = 0;
    for (let step = 0; step < 1500; step += 1) {
      const choice = random();
      if (choice < 0.01) {
        for (const verifier of all) verifier.apply(snapshots[next]);
        next = Math.min(next + 1, snapshots.length - 1);
      } else if (choice < 0.02) time += upTo(random, 20);
      else if (choice < 0.021 && step > 200) trapOnce(all[0]);
      const token = pool[upTo(random, random() < 0.5 ? 6 : pool.length)];
      const [one, other] = random() < 0.5 ? all.map((verifier) => verifier.verifySync(token))
        : await Promise.all(all.map((verifier) => verifier.verify(token)));
      assert.deepEqual(one, other, `seed ${seed}, step ${step}`);
    }
    for (const verifier of all) verifier.close();
  }
});

/** The circuit breaker allows at most four in ten seconds. */
let traps = 0;
function trapOnce(verifier) {
  if ((traps += 1) > 3) return;
  const { judge, verify } = WasmVerifier.prototype;
  const trap = () => { throw new WebAssembly.RuntimeError("unreachable"); };
  Object.assign(WasmVerifier.prototype, { judge: trap, verify: trap });
  verifier.verifySync(pool[0]);
  Object.assign(WasmVerifier.prototype, { judge, verify });
}
