// Feed files and heads in the inspector: what they hold, and whether a token is revoked by them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { buildBinary } from "../support/control-plane.mjs";
import { inspectorOf } from "./inspector.mjs";
import { says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage({ OFFSWITCH_BASE_INTERVAL_SECONDS: "1" });
const folder = await mkdtemp(join(tmpdir(), "offswitch-page-"));
after(() => rm(folder, { recursive: true, force: true }));
const { feed_public_keys: [publicKey] } = await plane.call("GET", "/v1/keys");
const keys = await (await fetch(`${plane.url}/.well-known/jwks.json`)).json();
const logIn = async (sub) => (await plane.call("POST", "/v1/sessions", { sub })).access_token;
const [alice, bob] = [await logIn("alice"), await logIn("bob")];
await plane.call("POST", "/v1/revocations", { sub: "alice" });
await plane.call("POST", "/v1/revocations", { jti: "one" });
const file = join(folder, "feed.tar");
const exported = execFileSync(buildBinary("offswitch"), ["snapshot", "export", "--json", "--key", publicKey, "--to", file], {
  env: { OFFSWITCH_URL: plane.url, OFFSWITCH_API_KEY: plane.apiKey },
});
const { position } = JSON.parse(exported);
const bytes = await readFile(file);

/** The fields for a feed, and the card that shows what it holds. */
async function open(page) {
  const inspector = inspectorOf(page);
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
  const chooser = page.getByLabel("Or drop a feed file here, or choose one");
  return { chooser, inspector, holds: inspector.part("What the feed holds") };
}

const HELD = new RegExp(`Signed by a given key, and valid[^]*${position.replace(".", "\\.")}[^]*Signed[^]*ago[^]*`
  + "Valid until[^]*in \\d+ s[^]*Tokens and sessions\\s+1\\s+Users and claims\\s+1\\s+Dead keys\\s+0");

// P09: no token is needed to see what a file holds, and no network to judge by it.
pageTest("a feed file is checked and shown, and a token is judged by it", async (page) => {
  const { chooser, holds, inspector } = await open(page);
  await chooser.setInputFiles(file);
  await says(holds, /Give the public key of the feed: without it, anyone may have made this/);
  await inspector.field("Public keys of the feed").fill(publicKey);
  const shown = await says(holds, HELD);
  assert.ok(shown.includes("feed.tar") && shown.includes(plane.url), shown);
  await inspector.verify({ token: alice, keys });
  await says(inspector.state, /Revoked\s+Its user was logged out everywhere[^]*\(revoked_user\)/);
  await inspector.verify({ token: bob, keys });
  await says(inspector.state, /Valid[^]*Not revoked/);
  assert.equal(await inspector.field("Feed").count(), 0, "there is a file in place of an address");
  await inspector.button("Remove the file").click();
  assert.equal(await holds.count(), 0);
  assert.equal(await inspector.field("Feed").count(), 1);
});

// P09: a file that is dropped is taken as one that is chosen.
pageTest("a feed file can be dropped", async (page) => {
  const { holds, inspector } = await open(page);
  await inspector.field("Public keys of the feed").fill(publicKey);
  const content = bytes.toString("base64");
  const dropped = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    const content = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    transfer.items.add(new File([content], "carried.tar"));
    return transfer;
  }, content);
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: dropped });
  await says(holds, HELD);
  await says(holds, /carried\.tar/);
});

// P09: what is wrong with a file is said, and nothing of it is shown.
pageTest("a bad feed file is refused with the reason", async (page) => {
  const { chooser, holds, inspector } = await open(page);
  const choose = (buffer) => chooser.setInputFiles({ name: "bad.tar", mimeType: "application/x-tar", buffer });
  await choose(Buffer.from("<!doctype html>"));
  await says(inspector.verifying, /This is not a file that snapshot export wrote/);
  await choose(bytes.subarray(0, 700));
  await says(inspector.verifying, /The file is cut off: copy it again/);
  const changed = Buffer.from(bytes);
  // The end of the last part, before the padding and the two blocks that end the archive.
  let at = changed.length - 1;
  while (changed[at] === 0) at -= 1;
  changed[at] ^= 1;
  await choose(changed);
  await inspector.field("Public keys of the feed").fill(publicKey);
  const shown = await says(holds, /a signature of the snapshot is wrong/);
  assert.doesNotMatch(shown, /Position|Users and claims/);
  await inspector.button("Remove the file").click();
  await chooser.setInputFiles(file);
  await says(holds, HELD);
  await inspector.field("Public keys of the feed").fill("6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw");
  await says(holds, /signed by no key of feed\.publicKeys/);
});

// P05: the head of a control plane, and of any place that publishes a feed as files.
pageTest("the head of a feed is shown and followed", async (page) => {
  const { holds, inspector } = await open(page);
  await inspector.field("Feed").fill(`${plane.url}/v1/feed/head`);
  await inspector.field("API key with the scope feed:read").fill(plane.apiKey);
  await inspector.field("Public keys of the feed").fill(publicKey);
  await inspector.button("Show what the feed holds").click();
  await says(holds, HELD);
  const token = await logIn("carol");
  await inspector.verify({ token, keys });
  await says(inspector.state, /Valid[^]*Not revoked/);
  await plane.call("POST", "/v1/revocations", { sub: "carol" });
  await says(inspector.state, /Revoked[^]*\(revoked_user\)/);
});
