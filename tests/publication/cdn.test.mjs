// nginx as the cache before the feed, with the configuration of docs/scale.md: only addresses and paths are replaced.

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Server, installed } from "../gateways/processes.mjs";
import { freePort, startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { ROOT } from "../support/fixture.mjs";
import { logIn, readerOf, refused, revoke } from "./reader.mjs";

const plane = await startControlPlane();
const open = [() => plane.close()];
after(async () => {
  for (const one of open.reverse()) await one();
});
const folder = await mkdtemp(join(tmpdir(), "offswitch-cdn-"));
open.push(() => rm(folder, { recursive: true, force: true }));
const key = await plane.createKey("cdn", "feed:read");
const port = await freePort();
const log = join(folder, "asked.log");
const cdn = new Server([installed("nginx"), "-c", await configuration(), "-p", folder, "-e", "stderr",
  "-g", `daemon off; pid ${folder}/nginx.pid;`], port);
await cdn.start();
open.push(() => cdn.end());
const address = `http://127.0.0.1:${port}/v1/feed`;

/** The documented blocks, in a file that nginx starts with. */
async function configuration() {
  const page = await readFile(join(ROOT, "docs/scale.md"), "utf8");
  let text = page.split("```nginx\n")[1].split("```")[0];
  const replaced = {
    "server 10.0.0.1:8400;": `server ${new URL(plane.url).host};`, "server 10.0.0.2:8400;": "",
    "/var/cache/feed": join(folder, "cache"), "osk_…": key, "listen 443 ssl;": `listen 127.0.0.1:${port};`,
    "ssl_certificate /etc/nginx/tls.crt;": "", "ssl_certificate_key /etc/nginx/tls.key;": "",
  };
  for (const [documented, actual] of Object.entries(replaced)) {
    assert.ok(text.includes(documented), `docs/scale.md does not name ${documented}`);
    text = text.replaceAll(documented, actual);
  }
  const asked = "log_format asked '$upstream_cache_status $upstream_addr $uri';";
  const file = join(folder, "nginx.conf");
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((one) =>
    `${one}_temp_path ${folder}/${one};`);
  const user = process.getuid() === 0 ? `user ${userInfo().username};\n` : "";
  await writeFile(file, `${user}events {}\nhttp {\n${paths.join("\n")}\n${asked}\naccess_log ${log} asked;\n${text}}\n`);
  return file;
}

/** How often the control plane was asked for what begins with this path. */
async function askedFor(path) {
  const lines = (await readFile(log, "utf8")).split("\n");
  return lines.filter((line) => !/^(HIT|STALE|UPDATING)/.test(line) && line.includes(` ${path}`)).length;
}

// P08: late by the time to live of the cache and the time of a poll at most; and the origin is asked once for all.
test("readers behind nginx refuse a revoked token in time, and the origin is asked once for all of them", async () => {
  const clients = await Promise.all(Array.from({ length: 4 }, () => readerOf(plane, [`${address}/head`])));
  open.push(() => Promise.all(clients.map((client) => client.close())));
  const times = [];
  for (const sub of ["alice", "bob", "carol"]) {
    const token = await logIn(plane, sub);
    await revoke(plane, sub);
    times.push(...await Promise.all(clients.map((client) => refused(client, token))));
  }
  // 1 s in the cache, 1.1 s until the next poll; the rest is for a busy machine.
  assert.ok(Math.min(...times) < 3.2, times.join());
  assert.ok(times.every((seconds) => seconds < 10), times.join());
  for (const client of clients) assert.equal((await client.status()).feed.failures, 0, client.failures);
  // Each part is fetched once from the origin, independent of the number of readers.
  const asked = (await readFile(log, "utf8")).split("\n").filter((line) => /^(MISS|EXPIRED) .*\/(bases|deltas)\//.test(line));
  assert.equal(new Set(asked).size, asked.length, asked.join("\n"));
  assert.ok(asked.length >= 2, asked.join("\n"));
});

// P08: the key is the cache's own; without it nothing is read at the origin, and clients send none.
test("readers need no API key behind the cache, and cannot reach anything else", async () => {
  assert.equal((await fetch(`${address}/head`)).status, 200);
  assert.equal((await fetch(`${address}?since=1.1`)).status, 200);
  assert.equal((await fetch(`${plane.url}/v1/feed/head`)).status, 401);
  for (const path of ["/v1/feed/stream", "/v1/status", "/v1/keys", "/metrics", "/"]) {
    assert.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 404, path);
  }
  const missing = await fetch(`${address}/deltas/1.1_1.2`);
  assert.equal(missing.status, 404);
  const before = await askedFor("/v1/feed/deltas/1.1_1.2");
  await fetch(`${address}/deltas/1.1_1.2`);
  assert.equal(await askedFor("/v1/feed/deltas/1.1_1.2"), before + 1, "a missing part is not kept");
});

// P08: while the origin is away the cache answers with what it has; readers decide until that is too old, and go on
// when the origin is back.
test("an outage of the origin is bridged by the cache, and ends undecided", async () => {
  const client = await readerOf(plane, [`${address}/head`], { maxStaleness: 6 });
  open.push(() => client.close());
  const token = await logIn(plane, "dave");
  assert.equal(await client.check(token), "valid");
  await plane.kill();
  const stale = await fetch(`${address}/head`);
  assert.equal(stale.status, 200, "the head is old, and there");
  assert.equal(await client.check(token), "valid");
  assert.ok(await until(async () => (await client.check(token)) === "stale_snapshot", 20));
  await plane.start();
  assert.ok(await until(async () => (await client.check(token)) === "valid", 30), JSON.stringify(await client.status()));
});
