// Measures failovers by Sentinel: how long revoking does not work, and whether an acknowledged revocation is lost.
// `node tests/chaos/failovers.mjs [--failovers N] [--seconds LIMIT]`

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { openSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createVerifier } from "offswitch";
import { ControlPlane, freePort } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { Redis } from "../support/redis.mjs";
import { pause } from "./load.mjs";

const { values } = parseArgs({
  options: { failovers: { type: "string", default: "50" }, seconds: { type: "string", default: "900" } },
});
const [wanted, limit] = [values.failovers, values.seconds].map(Number);
if (![wanted, limit].every((value) => Number.isSafeInteger(value) && value > 0)) process.exit(2);

const ISSUER = "https://failovers.test";
const WRITERS = 4;
const folder = await mkdtemp(join(tmpdir(), "offswitch-failovers-"));
/** @type {Redis[]} */
const servers = [];
/** @type {import("node:child_process").ChildProcess[]} */
const sentinels = [];
const ports = [];
let plane;
process.on("exit", () => {
  for (const child of sentinels) child.kill("SIGKILL");
  for (const one of [plane, ...servers]) one?.kill().catch(() => {});
});

for (let at = 0; at < 3; at += 1) {
  const home = join(folder, `redis-${at}`);
  await mkdir(home);
  servers.push(new Redis(home, await freePort()));
  await servers[at].start("always");
}
for (const replica of servers.slice(1)) await replica.command(`REPLICAOF 127.0.0.1 ${servers[0].port}`);
for (let at = 0; at < 3; at += 1) {
  const [port, file] = [await freePort(), join(folder, `sentinel-${at}.conf`)];
  await writeFile(file, `port ${port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 ${servers[0].port} 2\n`
    + "sentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 4000\n");
  ports.push(port);
  sentinels.push(spawn("redis-sentinel", [file], { stdio: "ignore" }));
}
const isCopied = async (server, count) => (await info(server)).connected_slaves === `${count}`;
if (!await until(() => isCopied(servers[0], 2), 30)) throw new Error("the replicas do not copy the primary");
await pause(3000); // until the sentinels know each other and the replicas

plane = new ControlPlane(join(folder, "plane"), await freePort(), {
  OFFSWITCH_ACCESS_TOKEN_SECONDS: "7200",
  OFFSWITCH_AUDIENCE: "api",
  OFFSWITCH_ISSUER: ISSUER,
  OFFSWITCH_LOG: "info,offswitch::audit=off",
  OFFSWITCH_MASTER_KEY: randomBytes(32).toString("base64url"),
  OFFSWITCH_REDIS_WAIT_REPLICAS: "1",
  OFFSWITCH_STORE: `redis+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(",")}/main`,
}, openSync(join(folder, "plane.log"), "a"));
await mkdir(join(folder, "plane"));
await plane.start();

/** What was acknowledged: a token of each revoked user, and where. @type {{ token: string, sub: string, position: string }[]} */
const acknowledged = [];
let isOver = false;
let lastAt = 0;
const answers = {};
const writers = Array.from({ length: WRITERS }, (_, at) => write(at));
await until(() => acknowledged.length > 20, 30);

const begin = Date.now();
const outages = [];
for (let nth = 1; nth <= wanted && Date.now() - begin < limit * 1000; nth += 1) {
  const primary = await findPrimary();
  const killedAt = Date.now();
  await servers[primary].kill();
  if (!await until(() => lastAt > killedAt + 200, 60)) throw new Error(`no revocation within 60 s; ${folder}`);
  outages.push(lastAt - killedAt);
  await servers[primary].start("always");
  const isWhole = async () => {
    const now = await findPrimary().catch(() => primary);
    return now !== primary && await isCopied(servers[now], 2);
  };
  if (!await until(isWhole, 60)) throw new Error(`the killed server does not copy the new primary; ${folder}`);
  if (nth % 10 === 0) console.log(`${nth}: ${figures()}`);
}
isOver = true;
await Promise.all(writers);

const keys = await plane.call("GET", "/v1/keys");
const verifier = await createVerifier({
  issuer: ISSUER, audience: "api", keys: `${plane.url}/.well-known/jwks.json`,
  feed: { url: `${plane.url}/v1/feed`, apiKey: plane.apiKey, publicKeys: keys.feed_public_keys },
});
const spared = (await plane.call("POST", "/v1/sessions", { sub: "spared" })).access_token;
const judgedSpared = verifier.verifySync(spared).code;
const lost = acknowledged.filter(({ token }) => verifier.verifySync(token).code !== "revoked_user");
const positions = new Set(acknowledged.map(({ position }) => position));
console.log(figures());
console.log(`answers other than success: ${JSON.stringify(answers)}`);
console.log(`acknowledged: ${acknowledged.length}, lost: ${lost.length}, `
  + `positions used twice: ${acknowledged.length - positions.size}, `
  + `a token that was not revoked: ${judgedSpared}`);
verifier.close();
const isGood = lost.length === 0 && positions.size === acknowledged.length
  && judgedSpared === "valid" && Math.max(...outages) <= 10_000;
if (isGood) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
else console.log(`kept: ${folder}`);
process.exit(isGood ? 0 : 1);

/** Opens sessions and revokes their users, one after the other. */
async function write(at) {
  for (let nth = 0; !isOver; nth += 1) {
    const sub = `writer-${at}-${nth}`;
    const opened = await ask("/v1/sessions", { sub });
    if (!opened) continue;
    const key = `${sub}-once`;
    let revoked;
    while (!revoked && !isOver) revoked = await ask("/v1/revocations", { sub }, key);
    if (!revoked) continue;
    lastAt = Date.now();
    acknowledged.push({ token: opened.access_token, sub, position: revoked.position });
    await pause(20);
  }
}

async function ask(path, body, key) {
  const headers = { authorization: `Bearer ${plane.apiKey}`, "content-type": "application/json" };
  if (key) headers["idempotency-key"] = key;
  let what = "no answer";
  try {
    const signal = AbortSignal.timeout(3000);
    const response = await fetch(plane.url + path, { method: "POST", headers, body: JSON.stringify(body), signal });
    const answer = await response.json();
    if (response.ok) return answer;
    what = `${response.status} ${answer.code}`;
  } catch {}
  answers[what] = (answers[what] ?? 0) + 1;
  await pause(50);
}

/** The only server that calls itself a primary and is copied. */
async function findPrimary() {
  for (let at = 0; at < servers.length; at += 1) {
    const found = await info(servers[at]).catch(() => ({}));
    if (found.role === "master" && found.connected_slaves !== "0") return at;
  }
  throw new Error("there is no primary with a replica");
}

async function info(server) {
  const text = await server.section("replication");
  return Object.fromEntries(text.split("\r\n").map((line) => line.split(":")));
}

function figures() {
  const sorted = [...outages].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `${outages.length} failovers: from the death of the primary to the next acknowledged revocation `
    + `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, max ${at(1)} ms; ${acknowledged.length} acknowledged`;
}
