// Heads of real control planes: at its own address, and as files in a folder that something else serves.

import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";

const folder = await mkdtemp(join(tmpdir(), "offswitch-head-"));
const plane = await startControlPlane({
  OFFSWITCH_PUBLISH_TO: `file://${folder}`,
  OFFSWITCH_PUBLISH_INTERVAL_SECONDS: "1",
  OFFSWITCH_PUBLISH_HEARTBEAT_SECONDS: "1",
});
const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
const files = createServer((request, response) => {
  createReadStream(join(folder, request.url)).on("error", () => response.writeHead(404).end()).pipe(response);
});
await new Promise((listening) => files.listen(0, "127.0.0.1", listening));
const open = [plane, { close: () => void (files.closeAllConnections(), files.close()) }];
after(async () => {
  for (const one of open.reverse()) await one.close();
  await rm(folder, { recursive: true, force: true });
});

const keys = await (await fetch(`${plane.url}/.well-known/jwks.json`)).json();

async function follow(head, more = {}) {
  const verifier = await createVerifier({
    issuer: plane.url, audience: "api", keys, onEvent() {},
    feed: { head, publicKeys, maxStaleness: 6, pollSeconds: 0.2, ...more },
  });
  open.push(verifier);
  return verifier;
}

const logIn = async (sub) => (await plane.call("POST", "/v1/sessions", { sub })).access_token;
const atFiles = `http://127.0.0.1:${files.address().port}/head`;

// P06, S15: as by polls, with every kind of revocation.
test("a verifier follows the head of a control plane", async () => {
  const verifier = await follow(`${plane.url}/v1/feed/head`, { apiKey: plane.apiKey });
  assert.equal(verifier.status().following, "poll");
  for (const kind of ["token", "sub"]) {
    const token = await logIn(kind);
    assert.ok(await until(() => verifier.verifySync(token).code === "valid"), JSON.stringify(verifier.status().feed));
    await plane.call("POST", "/v1/revocations", kind === "sub" ? { sub: kind } : { token });
    const began = performance.now();
    assert.ok(await until(() => verifier.verifySync(token).outcome === "refused"));
    assert.ok(performance.now() - began < 5000);
  }
  assert.equal(verifier.status().feed.failures, 0, JSON.stringify(verifier.status().feed));
});

test("the head of a control plane needs an API key where the feed needs one", async () => {
  const verifier = await follow(`${plane.url}/v1/feed/head`);
  const { feed, ready } = verifier.status();
  assert.equal(ready, false);
  assert.match(feed.lastFailure.detail, /head: status 401: the feed expects an API key/);
});

// P05, P06, E01: the files go on after the control plane, as long as they are fresh.
test("a verifier follows published files without the control plane", async () => {
  assert.ok(await until(async () => (await fetch(atFiles)).ok), "the first head is written");
  const verifier = await follow(atFiles);
  const [token, other] = [await logIn("alice"), await logIn("bob")];
  assert.ok(await until(() => verifier.verifySync(token).code === "valid"));
  await plane.call("POST", "/v1/revocations", { sub: "alice" });
  assert.ok(await until(() => verifier.verifySync(token).code === "revoked_user"));
  await plane.kill();
  assert.equal(verifier.verifySync(other).code, "valid");
  const late = await follow(atFiles);
  assert.equal(late.verifySync(other).code, "valid", "a start needs the files only");
  assert.equal(late.verifySync(token).code, "revoked_user");
  assert.ok(await until(() => verifier.verifySync(other).code === "stale_snapshot", 30));
  assert.equal(verifier.verifySync(token).code, "revoked_user");
  await plane.start();
  assert.ok(await until(() => verifier.verifySync(other).code === "valid", 30));
});
