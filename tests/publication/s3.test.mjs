// Two processes publish into one S3 bucket, and a reader follows what is there.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "../gateways/processes.mjs";
import { ControlPlane, buildControlPlane, freePort } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { pythonWith } from "../support/python.mjs";
import { startRedis } from "../support/redis.mjs";
import { logIn, readerOf, refused, revoke } from "./reader.mjs";

const open = [];
after(async () => {
  for (const one of open.reverse()) await one();
});

const python = pythonWith(fileURLToPath(new URL("requirements.txt", import.meta.url)));
const port = await freePort();
const s3 = new Server([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)], port);
await s3.start();
open.push(() => s3.end());
const bucket = `http://127.0.0.1:${port}/feeds`;
// moto takes any credentials, but wants some.
const authorization = { authorization: "Bearer anything" };
const make = () => fetch(bucket, { method: "PUT", headers: authorization });
const got = (name) => fetch(`${bucket}/live/eu/${name}`, { headers: authorization });
assert.equal((await make()).status, 200);

buildControlPlane();
const redis = await startRedis();
open.push(() => redis.close());
const issuer = "https://auth.example";
const masterKey = randomBytes(32).toString("base64url");
const settings = {
  OFFSWITCH_ISSUER: issuer, OFFSWITCH_STORE: redis.url, OFFSWITCH_MASTER_KEY: masterKey,
  OFFSWITCH_PUBLISH_TO: "s3://feeds/live/eu", AWS_ENDPOINT: `http://127.0.0.1:${port}`, AWS_ALLOW_HTTP: "true",
  AWS_REGION: "us-east-1", AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret-of-the-bucket",
};
const folders = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), "offswitch-publish-"))));
open.push(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));
const planes = [];
for (const [index, folder] of folders.entries()) {
  // Only the first start makes an API key.
  if (index > 0) await copyFile(join(folders[0], "admin.key"), join(folder, "admin.key"));
  const plane = new ControlPlane(folder, await freePort(), settings);
  await plane.start();
  planes.push(plane);
  open.push(() => plane.close());
}
const client = await readerOf(planes[0], [`${bucket}/live/eu/head`], { issuer, apiKey: "anything" });
open.push(() => client.close());
const headOf = async () => (await got("head")).json();

// P05: what either process revokes is refused by the files alone, and the headers say what caches may keep.
test("two processes publish at one bucket and a reader refuses what either revokes", async () => {
  for (const [index, plane] of [...planes, ...planes].entries()) {
    const token = await logIn(plane, `user ${index}`);
    assert.equal(await client.check(token), "valid");
    await revoke(plane, `user ${index}`);
    const seconds = await refused(client, token);
    assert.ok(seconds < 8, `${seconds} s`);
  }
  const head = await got("head");
  assert.equal(head.headers.get("cache-control"), "public, max-age=1, stale-if-error=60");
  assert.equal(head.headers.get("content-type"), "application/json");
  const { base, deltas } = await head.json();
  const names = deltas.map(({ from, to }) => `deltas/${from}_${to}`);
  for (const name of [`bases/${base.position}-${base.digest}`, ...names]) {
    const part = await got(name);
    assert.equal(part.status, 200, name);
    assert.equal(part.headers.get("cache-control"), "public, max-age=31536000, immutable");
    await part.arrayBuffer();
  }
  assert.equal((await client.status()).feed.failures, 0, client.failures);
});

// P05: the head before is there, with all its parts, whichever process is killed; the other one goes on.
test("a process that is killed is stood in for by the other one", async () => {
  const [one, other] = planes;
  await revoke(one, "somebody");
  await one.kill();
  const token = await logIn(other, "carol");
  await revoke(other, "carol");
  await refused(client, token);
  await one.start();
});

// P05: while the store is away, revoking goes on, and it is a finding; a store that comes back empty is filled again.
test("an outage of the store delays no revocation and is made up for", async () => {
  const plane = planes[0];
  const before = (await headOf()).position;
  await s3.end();
  const token = await logIn(plane, "dave");
  const began = performance.now();
  await revoke(plane, "dave");
  assert.ok(performance.now() - began < 2000, "the revocation waited for the store");
  const findings = async () => JSON.stringify(await (await fetch(`${plane.url}/readyz`)).json());
  assert.ok(await until(async () => (await findings()).includes("publication_failed"), 60), await findings());
  assert.ok(!(await findings()).includes("secret-of-the-bucket"));
  assert.equal(await client.check(token), "valid", "the reader holds what it had");
  await s3.start();
  await make();
  await refused(client, token, 60);
  assert.notEqual((await headOf()).position, before);
  assert.ok(await until(async () => !(await findings()).includes("publication_failed"), 60), await findings());
});
