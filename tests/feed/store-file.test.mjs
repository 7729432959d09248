// The folder as a place: real files, real crashes.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileStore } from "offswitch/file-store";
import { verifierOf } from "../support/feed.mjs";
import { ROOT, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { fakeFeed, positionIn } from "../support/places.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta, second] } = sign([
  { to: 2, tokens: ["gone"], valid_until: now() + 86_400 },
  { from: 2, to: 3, tokens: ["later"], valid_until: now() + 86_400 },
  { from: 3, to: 4, valid_until: now() + 86_400 },
]);
const good = await mint(key);
const later = await mint(key, { jti: "later" });
const feed = fakeFeed();
const folders = [];
after(async () => {
  feed.stop();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function temporary() {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-store-"));
  folders.push(folder);
  return folder;
}

function start(folder) {
  const parts = { key, publicKey, url: "http://feed.test/feed" };
  return verifierOf(parts, {}, { maxStaleness: 86_400, store: fileStore(folder) });
}

async function follow({ time, verifier }, ...answers) {
  for (const bytes of answers) {
    time.ahead += 61;
    feed.bytes = bytes;
    await verifier.refresh();
  }
}

// S03, E02: the folder is created if it is missing, and a later process finds everything.
test("a verifier finds in the folder what another one has stored", async () => {
  const folder = join(await temporary(), "new", "and deep");
  await follow(start(folder), base, delta);
  assert.deepEqual((await readdir(folder)).sort(), ["floor", "snapshots"]);
  assert.equal(positionIn(await readFile(join(folder, "floor"))), "1.3");
  const other = start(folder);
  await follow(other, undefined);
  assert.equal(other.verifier.since(), "1.3");
  assert.equal(other.verifier.verifySync(later).code, "revoked_token");
  assert.equal(other.verifier.verifySync(good).code, "valid");
});

// S03: a crash between the writing and the renaming of a file.
test("half a file that was never renamed is not read", async () => {
  const folder = await temporary();
  await follow(start(folder), base, delta);
  for (const name of ["floor", "snapshots"]) {
    const bytes = await readFile(join(folder, name));
    await writeFile(join(folder, `${name}.${process.pid}.next`), bytes.subarray(0, 20));
    await writeFile(join(folder, `${name}.1.next`), "rubbish");
  }
  const other = start(folder);
  await follow(other, undefined);
  assert.equal(other.verifier.since(), "1.3");
  await follow(other, second);
  assert.equal(positionIn(await readFile(join(folder, "floor"))), "1.4");
});

// S03: at whichever moment a process dies, a file is the old one or the new one, as a whole.
test("a process that is killed while it writes leaves whole files", async () => {
  const folder = await temporary();
  const writer = `
    import { fileStore } from ${JSON.stringify(`${ROOT}verifier-wasm/js/stores/file-store.js`)};
    const store = fileStore(process.argv[1]);
    console.log("ready");
    for (let round = 0; ; round += 1) {
      await store.write("snapshots", new Uint8Array(2_000_000).fill(round % 251));
    }`;
  for (let kill = 0; kill < 8; kill += 1) {
    const child = spawn(process.execPath, ["--input-type=module", "-e", writer, folder]);
    await new Promise((ready) => child.stdout.once("data", ready));
    await new Promise((resume) => setTimeout(resume, 30 + kill * 17));
    child.kill("SIGKILL");
    await new Promise((gone) => child.once("exit", gone));
    const bytes = await fileStore(folder).read("snapshots");
    if (bytes === undefined) continue; // it died before the first was whole
    assert.equal(bytes.length, 2_000_000);
    assert.ok(bytes.every((byte) => byte === bytes[0]), "all bytes are from one write");
  }
  assert.notEqual(await fileStore(folder).read("snapshots"), undefined);
});

const RUBBISH = {
  "are empty": (path) => writeFile(path, ""),
  "are rubbish": (path) => writeFile(path, "rubbish ".repeat(10_000)),
  "are folders": (path) => mkdir(path),
  "lead to each other": (path) => symlink(path, path),
  "lead to nowhere": (path) => symlink(`${path}-gone`, path),
};
for (const [what, make] of Object.entries(RUBBISH)) {
  // S03, S09: unusable files are not read, and do not stop the verifier.
  test(`files that ${what} count as missing`, async () => {
    const folder = await temporary();
    for (const name of ["floor", "snapshots"]) await make(join(folder, name));
    const at = start(folder);
    await follow(at, base, delta);
    assert.equal(at.verifier.since(), "1.3");
    assert.equal(at.verifier.verifySync(later).code, "revoked_token");
  });
}

// S03, S09: a path that is not a folder.
test("a folder that is a file stores nothing and stops nothing", async () => {
  const file = join(await temporary(), "file");
  await writeFile(file, "");
  const at = start(file);
  await follow(at, base, delta);
  assert.equal(at.verifier.verifySync(later).code, "revoked_token");
});

// S03: one folder for all verifiers of a process; each may write at any time.
test("writers in one process do not tear each other's files", async () => {
  const folder = await temporary();
  const stores = Array.from({ length: 8 }, () => fileStore(folder));
  for (let round = 0; round < 20; round += 1) {
    const sizes = stores.map((_, nth) => 1000 + ((round * 31 + nth * 977) % 5000));
    const writes = stores.map((store, nth) =>
      store.write("snapshots", new Uint8Array(sizes[nth]).fill(nth + 1)));
    const results = await Promise.allSettled(writes);
    const failed = results.filter((one) => one.status === "rejected");
    assert.deepEqual(failed.map((one) => one.reason.message), [], `round ${round}`);
    const bytes = await stores[0].read("snapshots");
    assert.ok(bytes.every((byte) => byte === bytes[0]), `round ${round}`);
    assert.equal(bytes.length, sizes[bytes[0] - 1], `round ${round}`);
  }
  assert.deepEqual(await readdir(folder), ["snapshots"], "no other files remain");
});
