// The disk under the store is full, or every flush of the store fails.

import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { upTo } from "../../support/chance.mjs";
import { until } from "../../support/feed.mjs";
import { pause } from "../load.mjs";

/** @typedef {import("./index.mjs").Nemesis} Nemesis */

/** The disk of the Redis server is full. It ends if it flushes every write, and goes on without writing if not. @type {Nemesis} */
export const disk = {
  on: "one-server",
  needs: "disk",
  seconds: 6,
  choose: (random) => ({
    appendfsync: random() < 0.5 ? "always" : "everysec", milliseconds: 2000 + upTo(random, 3000),
  }),
  async strike({ disk: small, redis }, { appendfsync, milliseconds }) {
    await redis.command(`CONFIG SET appendfsync ${appendfsync}`);
    small.fill();
    await pause(milliseconds);
    small.makeRoom();
    await startIfEnded(redis);
    await redis.command("CONFIG SET appendfsync always");
    return { mustRefuse: true };
  },
};

/** Every flush of the Redis server fails, so it ends. @type {Nemesis} */
export const fsync = {
  on: "one-server",
  needs: "strace",
  seconds: 6,
  choose: (random) => ({ milliseconds: 1000 + upTo(random, 3000) }),
  async strike({ redis }, { milliseconds }) {
    const flushesFail = await failFlushes(redis.pid, milliseconds);
    await startIfEnded(redis);
    return { flushesFail, mustRefuse: true };
  },
};

/** The disk of the embedded store is full. @type {Nemesis} */
export const embeddedDisk = {
  on: "embedded",
  needs: "disk",
  seconds: 6,
  choose: (random) => ({ milliseconds: 1000 + upTo(random, 2000) }),
  async strike({ disk: small, planes }, { milliseconds }) {
    small.fill();
    // The file has pages of its own that are free.
    if (!await until(async () => !await revokeMany(planes[0]))) throw new Error("the full disk refuses nothing");
    await pause(milliseconds);
    small.makeRoom();
    return { mustRefuse: true };
  },
};

/** Every flush of the embedded store fails. @type {Nemesis} */
export const embeddedFsync = {
  on: "embedded",
  needs: "strace",
  seconds: 6,
  choose: (random) => ({ milliseconds: 2000 + upTo(random, 3000) }),
  async strike({ planes }, { milliseconds }) {
    return { flushesFail: await failFlushes(planes[0].pid, milliseconds), mustRefuse: true };
  },
};

/** Makes every flush of a process fail; from when to when. @param {number} pid @param {number} milliseconds */
async function failFlushes(pid, milliseconds) {
  const strace = spawn("strace", [
    "-f", "-q", "-o", "/dev/null", "-p", `${pid}`,
    "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO",
  ], { stdio: "ignore" });
  const gone = new Promise((resume) => strace.once("exit", resume));
  const hasBegun = async () => {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    // A process that has already ended because of it is gone, or not yet waited for.
    return status === "" || status.includes("\nState:\tZ") || status.includes(`\nTracerPid:\t${strace.pid}\n`);
  };
  if (!await until(hasBegun)) throw new Error("strace cannot trace");
  const from = Date.now();
  await pause(milliseconds);
  const to = Date.now();
  strace.kill("SIGTERM"); // it may have ended with the process
  await gone;
  return [from, to];
}

/** @param {import("../../support/redis.mjs").Redis} redis */
async function startIfEnded(redis) {
  if (!redis.isRunning) await redis.start("always");
}

/** Whether revoking a thousand tokens is acknowledged. @param {import("../systems/system.mjs").Plane} plane */
async function revokeMany(plane) {
  const exp = Math.floor(Date.now() / 1000) + 7200;
  const revocations = Array.from({ length: 1000 }, () => ({ jti: crypto.randomUUID(), exp }));
  return plane.call("POST", "/v1/revocations", { revocations }).then(() => true, () => false);
}
