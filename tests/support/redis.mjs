// A real Redis server in its own folder, as durable as the control plane requires.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis as Client } from "ioredis";
import { freePort } from "./control-plane.mjs";
import { until } from "./feed.mjs";

export async function startRedis() {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-redis-"));
  const redis = new Redis(folder, await freePort());
  await redis.start();
  return redis;
}

export class Redis {
  #arguments;
  #child;
  #gone;

  /** @param {string} folder @param {number} port @param {string[]} more arguments */
  constructor(folder, port, more = []) {
    this.#arguments = more;
    this.folder = folder;
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
  }

  get pid() {
    return this.#child.pid;
  }

  get isRunning() {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it, the first time or again with the content of the folder. @param {"always" | "everysec"} [appendfsync] */
  async start(appendfsync = "always") {
    this.#child = spawn("redis-server", [
      "--port", `${this.port}`, "--bind", "127.0.0.1", "--dir", this.folder, "--save", "",
      "--enable-debug-command", "local",
      // By default a primary waits 5 s for more replicas before it copies itself.
      "--repl-diskless-sync-delay", "0",
      "--appendonly", "yes", "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0",
      ...this.#arguments,
    ], { stdio: "ignore" });
    this.#gone = new Promise((resume) => this.#child.once("exit", resume));
    const serves = async () => await this.command("PING").catch(() => "") === "PONG";
    if (!await until(serves)) throw new Error("redis-server does not answer");
  }

  /** @param {NodeJS.Signals} name */
  signal(name) {
    this.#child.kill(name);
  }

  /** Kills the process. */
  async kill() {
    this.#child.kill("SIGKILL");
    await this.#gone;
  }

  /** The answer to a command whose words contain no spaces; throws if it is an error. @param {string} line */
  command(line) {
    return ask(this.port, line);
  }

  /** What a section of INFO says. @param {string} section @returns {Promise<Record<string, string>>} */
  async about(section) {
    const lines = (await this.command(`INFO ${section}`)).split("\r\n");
    return Object.fromEntries(lines.map((line) => line.split(/:(.*)/, 2)));
  }

  async close() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Executes one command on a connection of its own, at a server or a sentinel. @param {number} port @param {string} line */
export async function ask(port, line) {
  const client = new Client({
    port, lazyConnect: true, connectTimeout: 1000, commandTimeout: 5000, enableReadyCheck: false,
    disableClientInfo: true, maxRetriesPerRequest: 0, retryStrategy: () => null,
  });
  client.on("error", () => {});
  try {
    await client.connect();
    return await client.call(...line.split(" "));
  } finally {
    client.disconnect();
  }
}
