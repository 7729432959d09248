// Faults in which the store loses acknowledged records for good, and one in which it serves an old state.

import { readdir, truncate } from "node:fs/promises";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { shuffled, upTo } from "../support/chance.mjs";
import { freePort } from "../support/control-plane.mjs";
import { pause } from "./load.mjs";

/** Records the length of a server's append-only file over time, so that it can be truncated to an earlier length. */
export class FileLengths {
  #folder;
  /** @type {{ at: number, length: number }[]} */
  #lengths = [];
  #timer;

  /** @param {import("../support/redis.mjs").Redis} redis */
  constructor(redis) {
    this.#folder = join(redis.folder, "appendonlydir");
    this.#timer = setInterval(() => this.#note(), 50);
  }

  /** Truncates the file to its length at a moment; returns when the file had this length. @param {number} moment */
  async cutTo(moment) {
    const last = this.#lengths.findLast(({ at }) => at <= moment);
    if (last === undefined) throw new Error("the store is not old enough to lose seconds");
    await truncate(this.#path(await readdir(this.#folder)), last.length);
    this.#lengths = [];
    return last.at;
  }

  stop() {
    clearInterval(this.#timer);
  }

  #note() {
    const at = Date.now();
    this.#lengths.push({ at, length: statSync(this.#path(readdirSync(this.#folder))).size });
  }

  /** The only file that grows: it is never rewritten here. @param {string[]} names */
  #path(names) {
    return join(this.#folder, names.find((name) => name.endsWith(".incr.aof")));
  }
}

/**
 * Kills everything; the store comes back without its last two seconds, then the control planes
 * start within a second. With `staggers` each process is killed at another moment.
 *
 * @param {import("./systems/one-server.mjs").OneServer} system @param {FileLengths} lengths @param {() => number} random
 * @param {{ appendfsync: "always" | "everysec", forgets: boolean, staggers: boolean }} how
 */
export async function loseSeconds({ planes, redis }, lengths, random, { appendfsync, forgets, staggers }) {
  const begin = Date.now();
  await Promise.all(shuffled([...planes, redis], random).map(async (one) => {
    if (staggers) await pause(upTo(random, LATEST_KILL));
    await one.kill();
  }));
  const cutAt = await lengths.cutTo(begin - LOST);
  // A server that flushes later may answer this many requests before it writes.
  const losesFrom = cutAt - WRITES_WITHIN;
  if (forgets) await Promise.all(planes.map((plane) => plane.forget()));
  await redis.start(appendfsync);
  await Promise.all(shuffled(planes, random).map(async (plane) => {
    await pause(upTo(random, LATEST_START));
    await plane.start();
  }));
  return { kind: /** @type {const} */ ("lost-seconds"), begin, end: Date.now(), losesFrom };
}

/**
 * Makes the primary a replica of a server that does not exist, for this long.
 *
 * @param {import("./systems/one-server.mjs").OneServer} system @param {number} seconds
 */
export async function demote({ redis }, seconds) {
  const begin = Date.now();
  await insist(redis, `REPLICAOF 127.0.0.1 ${await freePort()}`);
  await pause(seconds * 1000);
  const end = Date.now();
  await insist(redis, "REPLICAOF NO ONE");
  return { kind: /** @type {const} */ ("demotion"), begin, end };
}

/** @param {import("../support/redis.mjs").Redis} redis @param {string} command */
async function insist(redis, command) {
  const answer = await redis.command(command);
  if (answer !== "OK") throw new Error(`${command}: ${answer}`);
}

/** Milliseconds. */
const LOST = 2000;
const LATEST_KILL = 300;
const LATEST_START = 1000;
const WRITES_WITHIN = 2000;
