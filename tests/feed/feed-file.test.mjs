// Verifiers without a network: they judge by files that `offswitch snapshot export` has written.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { combine } from "offswitch/feeds";
import { buildBinary, startControlPlane } from "../support/control-plane.mjs";
import { optionsOf, until } from "../support/feed.mjs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { feedFileOf, filesOf } from "../support/head.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots } = sign([
  { to: 2 },
  { from: 2, to: 2 },
  { from: 2, to: 3, tokens: ["token"] },
  { from: 3, to: 3 },
  { to: 3, tokens: ["token"] },
  { from: 3, to: 3, issued_at: now() - 500, valid_until: now() - 400 },
]);
const [base, beat2, delta3, beat3, base3, oldBeat3] = snapshots;
const token = await mint(key);
const at2 = { base: ["1.2", base], heartbeat: beat2, position: "1.2" };
const at3 = { ...at2, deltas: [["1.2", "1.3", delta3]], heartbeat: beat3, position: "1.3" };
const [second, third] = [feedFileOf(filesOf(at2)), feedFileOf(filesOf(at3))];
const open = [];
after(async () => {
  for (const one of open.reverse()) await one.close();
});

/** A verifier of that feed, without an address. */
function verifierWith(snapshot, feed = {}, more = {}) {
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey }, { onEvent() {}, ...more });
  const verifier = new Verifier({ ...options, feed: { ...trust, snapshot, ...feed } });
  open.push(verifier);
  return verifier;
}

// P09: the file is all that a verdict needs, and a newer one replaces it.
test("a verifier judges by a file, and by a newer one", async () => {
  const verifier = verifierWith(second);
  assert.equal(verifier.verifySync(token).code, "no_snapshot");
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.equal(verifier.verifySync(token).code, "valid");
  assert.deepEqual(await verifier.load(third), { applied: "extended" });
  assert.equal(verifier.verifySync(token).code, "revoked_token");
  assert.equal(verifier.status().position, "1.3");
  assert.deepEqual(await verifier.load(second), { applied: "ignored" });
  assert.deepEqual(await verifier.refresh(), { applied: "ignored" }, "what the options have is older now");
  assert.equal(verifier.verifySync(token).code, "revoked_token", "never back");
  assert.equal(verifier.status().feed.failures, 0);
  await assert.rejects(verifier.load("text"), TypeError);
});

// P09: a function is asked again, also once it has failed.
test("a file that a function reads is read again at times", async () => {
  let file = () => second;
  const { feed: { url, ...trust }, ...options } = optionsOf({ key, publicKey }, { onEvent() {} });
  const feed = { ...trust, snapshot: async () => file(), pollSeconds: 0.05 };
  const verifier = await createVerifier({ ...options, feed });
  open.push(verifier);
  assert.equal(verifier.verifySync(token).code, "valid");
  file = () => { throw new Error("no such file"); };
  assert.ok(await until(() => verifier.status().feed.lastFailure?.error === "feed_unreachable"));
  assert.match(verifier.status().feed.lastFailure.detail, /no such file/);
  file = () => third;
  assert.ok(await until(() => verifier.verifySync(token).code === "revoked_token"));
});

// P09, S07: the rules of freshness are the same.
test("a file that is too old leaves verdicts undecided", async () => {
  const stale = feedFileOf(filesOf({ base: ["1.3", base3], heartbeat: oldBeat3, position: "1.3" }));
  const time = { ahead: 0 };
  const clock = () => Date.now() / 1000 + time.ahead;
  const verifier = verifierWith(second, { maxStaleness: 60 }, { clock });
  await verifier.refresh();
  assert.equal(verifier.verifySync(token).code, "valid");
  time.ahead = 61;
  assert.equal(verifier.verifySync(token).code, "stale_snapshot");
  await verifier.load(stale);
  time.ahead = 0;
  assert.equal(verifier.verifySync(token).code, "revoked_token", "it only subtracts");
  const late = verifierWith(feedFileOf(filesOf({ base: ["1.2", base], heartbeat: beat2, position: "1.2" })), {}, { clock });
  time.ahead = 700;
  await late.refresh();
  const lasting = await mint(key, { exp: now() + 3600 });
  assert.equal(late.verifySync(lasting).code, "stale_snapshot", "past its validity");
});

// P09: a file that was loaded is read once: it does not become an address of the feed.
test("a loaded file is not read again", async () => {
  const time = { ahead: 0 };
  let file = () => second;
  const verifier = verifierWith(() => file(), { maxStaleness: 60 }, { clock: () => Date.now() / 1000 + time.ahead });
  await verifier.refresh();
  time.ahead = 61;
  assert.deepEqual(await verifier.load(third), { applied: "extended" });
  file = () => { throw new Error("no such file"); };
  assert.equal((await verifier.refresh()).error, "feed_unreachable");
});

// P09: what is not such a file, or was changed, is a failure with a code, and the last good state stays in force.
test("a bad file changes nothing", async () => {
  const verifier = verifierWith(second);
  await verifier.refresh();
  const size = (text) => (header, name) => name === "head" && header.write(text.padEnd(12, "\0"), 124);
  const flipped = third.slice();
  // The end of the last part: after it there are zeros.
  flipped[third.findLastIndex((byte) => byte !== 0)] ^= 1;
  const files = filesOf(at3);
  for (const [bytes, error] of [
    [new Uint8Array(), "feed_file_malformed"],
    [new Uint8Array(4096), "feed_file_malformed"],
    [base, "feed_file_malformed"],
    [new TextEncoder().encode("<!doctype html>"), "feed_file_malformed"],
    [third.slice(0, 600), "feed_file_malformed"],
    [third.slice(0, third.length - 1600), "feed_file_malformed"],
    [feedFileOf(files, size("-1000")), "feed_file_malformed"],
    [feedFileOf(files, size("77777777777")), "feed_file_malformed"],
    [feedFileOf(files, size("9")), "feed_file_malformed"],
    [feedFileOf({ "bases/x": base }), "feed_file_malformed"],
    [feedFileOf({ head: files.head }), "feed_file_malformed"],
    [feedFileOf({ ...files, head: Buffer.from("{}") }), "head_malformed"],
    [feedFileOf(filesOf(at3, { feed: "other" })), "wrong_feed"],
    [feedFileOf({ head: filesOf(at3, { padding: "x".repeat(70_000) }).head }), "feed_file_malformed"],
    [flipped, "snapshot_bad_signature"],
  ]) {
    const result = await verifier.load(Uint8Array.from(bytes));
    assert.equal(result.error, error, JSON.stringify(result));
    assert.equal(verifier.verifySync(token).code, "valid");
    assert.equal(verifier.status().position, "1.2");
  }
  assert.deepEqual(await verifier.load(third), { applied: "extended" }, "a failure delays no file");
  const strange = verifierWith(third, { publicKeys: [key.jwk.x] });
  assert.equal((await strange.refresh()).error, "snapshot_unknown_key");
});

// P09: `tar` makes such a file from a folder, with names that begin with `./` and with entries for folders.
test("entries that are no files of a feed are passed over", async () => {
  const renamed = Object.fromEntries(Object.entries(filesOf(at3)).map(([name, bytes]) => [`./${name}`, bytes]));
  const folder = (header, name) => name === "./" && header.write("5", 156);
  const verifier = verifierWith(feedFileOf({ "./": Buffer.alloc(0), ...renamed, "./.note": Buffer.from("x") }, folder));
  assert.deepEqual(await verifier.refresh(), { applied: "replaced" });
  assert.equal(verifier.verifySync(token).code, "revoked_token");
});

// P07, P09: a file is read by the verifier of its feed.
test("a verifier over several feeds reads the file of each", async () => {
  const issuer = { issuer: "https://second.example" };
  const other = verifierWith(second, { id: "another" }, issuer);
  const own = verifierWith(second);
  await own.refresh();
  const verifier = combine([own, other]);
  assert.deepEqual(await verifier.load(third), { applied: "extended" });
  assert.equal(verifier.verifySync(token).code, "revoked_token");
});

// P09: from a real control plane, by the command, to a verifier that knows no address.
test("what the command writes is what a verifier reads", async () => {
  const program = buildBinary("offswitch");
  const plane = await startControlPlane({ OFFSWITCH_BASE_INTERVAL_SECONDS: "1" });
  const folder = await mkdtemp(join(tmpdir(), "offswitch-file-"));
  open.push(plane, { close: () => rm(folder, { recursive: true, force: true }) });
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  const keys = await (await fetch(`${plane.url}/.well-known/jwks.json`)).json();
  const file = join(folder, "feed.tar");
  const run = (...arguments_) => execFileSync(program, ["snapshot", ...arguments_, "--key", publicKeys[0]], {
    env: { OFFSWITCH_URL: plane.url, OFFSWITCH_API_KEY: plane.apiKey },
  });
  const { access_token: alice } = await plane.call("POST", "/v1/sessions", { sub: "alice" });
  const { access_token: bob } = await plane.call("POST", "/v1/sessions", { sub: "bob" });
  await plane.call("POST", "/v1/revocations", { sub: "alice" });
  run("export", "--to", file);
  run("import", file, "--into", join(folder, "place"));
  await plane.kill();
  const shared = { issuer: plane.url, audience: "api", keys, onEvent() {} };
  const byFile = await createVerifier({ ...shared, feed: { snapshot: () => readFile(file), publicKeys } });
  const byFolder = await createVerifier({
    ...shared, feed: { head: { get: (name) => readFile(join(folder, "place", name)) }, publicKeys },
  });
  for (const verifier of [byFile, byFolder]) {
    open.push(verifier);
    assert.equal(verifier.verifySync(alice).code, "revoked_user");
    assert.equal(verifier.verifySync(bob).code, "valid");
  }
});
