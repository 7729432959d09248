// A real Redis server in its own folder, as durable as the control plane requires.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./control-plane.mjs";
import { until } from "./feed.mjs";

export async function startRedis() {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-redis-"));
  const redis = new Redis(folder, await freePort());
  await redis.start();
  return redis;
}

export class Redis {
  #child;
  #gone;

  /** @param {string} folder @param {number} port */
  constructor(folder, port) {
    this.folder = folder;
    this.port = port;
    this.url = `redis://127.0.0.1:${port}`;
  }

  /** Starts it, the first time or again with the content of the folder. @param {"always" | "everysec"} [appendfsync] */
  async start(appendfsync = "always") {
    this.#child = spawn("redis-server", [
      "--port", `${this.port}`, "--bind", "127.0.0.1", "--dir", this.folder, "--save", "",
      "--enable-debug-command", "local",
      "--appendonly", "yes", "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0",
    ], { stdio: "ignore" });
    this.#gone = new Promise((resume) => this.#child.once("exit", resume));
    const serves = async () => (await this.command("PING").catch(() => "")) === "+PONG";
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

  /** The first line of the answer to a command whose words contain no spaces. @param {string} line */
  command(line) {
    return new Promise((resolve, reject) => {
      const socket = connect(this.port, "127.0.0.1", () => socket.write(`${line}\r\n`));
      socket.setEncoding("utf8").setTimeout(1000, () => socket.destroy(new Error("no answer in time")));
      socket.on("error", reject).on("data", (text) => {
        socket.destroy();
        resolve(String(text).split("\r\n")[0]);
      });
    });
  }

  /** A section of INFO. @param {string} name @returns {Promise<string>} */
  section(name) {
    return new Promise((resolve, reject) => {
      let text = "";
      const socket = connect(this.port, "127.0.0.1", () => socket.write(`INFO ${name}\r\n`));
      socket.setEncoding("utf8").setTimeout(1000, () => socket.destroy(new Error("no answer in time")));
      socket.on("error", reject).on("data", (part) => {
        text += part;
        // `$length`, the text, and an empty line at its end.
        if (!/\r\n\r\n$/.test(text) && !text.includes("master_repl_offset")) return;
        socket.destroy();
        resolve(text);
      });
    });
  }

  async close() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
