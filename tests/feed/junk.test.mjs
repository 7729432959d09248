// A mirror that sends a lot of data that is not a snapshot.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { send, verifierOf } from "../support/feed.mjs";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc");
const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([{ to: 2 }, { from: 2, to: 3, tokens: ["token"] }, { to: 4, extra: 20_000 }]);
const [base, delta, larger] = snapshots;
const good = await mint(key);
const stub = await startStub({ snapshot: base });
after(stub.close);
const SIZE = 250 << 20;

/** Sends `first` and then junk; `sent.bytes` counts the bytes that were read. */
function junk(first, sent) {
  return (_, response) => {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    const piece = Buffer.alloc(1 << 20, 0x5a);
    const more = () => {
      while (sent.bytes < SIZE && !response.destroyed) {
        sent.bytes += piece.length;
        if (!response.write(piece)) return;
      }
      response.end();
    };
    response.on("drain", more).on("error", () => {});
    response.write(first);
    more();
  };
}

/** The memory in use after garbage collection. */
async function held() {
  for (let turn = 0; turn < 5; turn += 1) {
    collect();
    await new Promise((resume) => setTimeout(resume, 50));
  }
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}

/** A verifier with a base that has received this from a mirror. */
async function meet(first) {
  const { time, verifier } = verifierOf({ key, publicKey, url: `${stub.url}/feed` });
  stub.feed = undefined;
  await verifier.refresh();
  const before = { held: await held(), wasm: verifier.status().instance.memoryBytes };
  const sent = { bytes: 0 };
  stub.feed = junk(first, sent);
  const result = await verifier.refresh();
  const after = { held: await held(), wasm: verifier.status().instance.memoryBytes };
  assert.ok(after.held < before.held * 1.1, `${before.held} bytes before, ${after.held} after`);
  assert.ok(after.wasm <= before.wasm + (1 << 18), `wasm: ${before.wasm} bytes before, ${after.wasm} after`);
  time.ahead = 31;
  stub.feed = send(delta);
  assert.deepEqual(await verifier.refresh(), { applied: "extended" });
  assert.equal(verifier.verifySync(good).code, "revoked_token");
  return { result, sent };
}

// D14, S08: the first bytes show that it is junk, and the rest is not read.
test("junk is refused after its first bytes and leaves no memory behind", async () => {
  const { result, sent } = await meet("junk");
  assert.equal(result.error, "snapshot_malformed");
  assert.ok(sent.bytes < 32 << 20, `${sent.bytes} of ${SIZE} bytes were read`);
});

// D14, S08: a hostile mirror can imitate the beginning of a snapshot. The data is hashed while it arrives, and
// none of it enters wasm's memory, which never shrinks.
test("junk behind the beginning of a real snapshot leaves no memory behind", async () => {
  const { result, sent } = await meet(larger.subarray(0, 5000));
  assert.equal(result.error, "snapshot_bad_signature");
  assert.ok(sent.bytes >= SIZE, "all of it was sent");
});

// S08: the size of the pieces does not change the result.
test("a large snapshot that arrives in pieces is applied", async () => {
  for (const size of [1, 3, 4095, 4096, 4097, 65_536, 1 << 20]) {
    const { verifier } = verifierOf({ key, publicKey, url: `${stub.url}/feed` });
    const bytes = size === 1 ? base : larger;
    stub.feed = async (_, response) => {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      for (let at = 0; at < bytes.length; at += size) {
        response.write(bytes.subarray(at, at + size));
        if (at % 7 === 0) await new Promise((resume) => setImmediate(resume));
      }
      response.end();
    };
    assert.deepEqual(await verifier.refresh(), { applied: "replaced" }, `in pieces of ${size}`);
  }
});
