// Gateways and guards in processes of their own, which can be stopped, continued, killed and started again.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { until } from "../support/feed.mjs";
import { pythonWith } from "../support/python.mjs";

/** A program that serves at a port of 127.0.0.1. */
export class Server {
  #command;
  #child;
  #gone;
  #log = "";

  /** @param {string[]} command @param {number} port @param {Record<string, string>} [env] */
  constructor(command, port, env = {}) {
    this.#command = command;
    this.env = env;
    this.port = port;
  }

  /** Starts it, and waits until it accepts connections. */
  async start() {
    const [program, ...args] = this.#command;
    const env = { ...process.env, ...this.env };
    this.#child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output.setEncoding("utf8").on("data", (text) => { this.#log = (this.#log + text).slice(-8000); });
    }
    this.#gone = new Promise((resume) => this.#child.once("exit", resume));
    const isUp = await Promise.race([until(() => accepts(this.port), 60), this.#gone.then(() => false)]);
    if (!isUp) throw new Error(`${this.#command.join(" ")} does not serve: ${this.#log}`);
  }

  /** Sends a signal to it and to the workers that it has started. @param {NodeJS.Signals} name */
  signal(name) {
    process.kill(-this.#child.pid, name);
  }

  /** Ends it as a crash does, or as `name` asks. @param {NodeJS.Signals} [name] */
  async end(name = "SIGKILL") {
    if (this.#child?.exitCode !== null || this.#child.signalCode !== null) return;
    this.signal(name);
    await this.#gone;
    // Workers may hold the port for a moment longer.
    await until(async () => !(await accepts(this.port)), 10);
  }

  async restart(name) {
    await this.end(name);
    await this.start();
  }

  get log() {
    return this.#log;
  }

  get pid() {
    return this.#child.pid;
  }
}

function accepts(port) {
  return new Promise((resume) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resume(true)).once("error", () => resume(false)).once("close", () => resume(false));
    socket.on("connect", () => socket.destroy());
  });
}

/**
 * The path of a program of the system; throws with what to install.
 *
 * @param {string} name @param {string} [debian] its package
 */
export function installed(name, debian = name) {
  const { status, stdout } = spawnSync("sh", ["-c", `PATH="$PATH:/usr/sbin" command -v ${name}`], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${name} is missing: install it (Debian: ${debian})`);
  return stdout.trim();
}

/** The path of a gateway from PyPI. @param {string} name */
export function fromPyPi(name) {
  const python = pythonWith(fileURLToPath(new URL("requirements.txt", import.meta.url)));
  if (name === "traefik") return join(dirname(python), "traefik");
  const find = "import envoy, pathlib; print(pathlib.Path(envoy.__file__).parent / '_bin' / 'envoy')";
  return execFileSync(python, ["-c", find], { encoding: "utf8" }).trim();
}
