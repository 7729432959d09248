// A real control plane in its own process, on its embedded store by default.

import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fakedClock } from "./faketime.mjs";
import { ROOT } from "./fixture.mjs";

/** Additional environment variables. */
export async function startControlPlane(settings = {}) {
  buildControlPlane();
  const folder = await mkdtemp(join(tmpdir(), "offswitch-plane-"));
  const port = await freePort();
  const plane = new ControlPlane(folder, port, settings);
  await plane.start();
  return plane;
}

export function buildControlPlane() {
  buildBinary("offswitch");
}

/** Builds one of the workspace's programs, with all features of the workspace. Returns its path. */
export function buildBinary(name) {
  if (MEASURED && name === "offswitch") return MEASURED;
  const build = ["build", "--quiet", "--workspace", "--all-features", "--bin", name];
  const built = spawnSync("cargo", build, { cwd: ROOT });
  if (built.status !== 0) throw new Error(String(built.stderr));
  return binary(name);
}

export class ControlPlane {
  #child;
  #folder;
  #environment;
  #log;

  /**
   * @param {string} folder its data_dir @param {number} port
   * @param {Record<string, string>} settings as above
   * @param {number | "inherit"} [log] the file descriptor of its log
   */
  constructor(folder, port, settings, log = "inherit") {
    this.#folder = folder;
    this.#log = log;
    this.url = `http://127.0.0.1:${port}`;
    // The control plane refuses unknown variables.
    const mine = Object.entries(process.env).filter(([name]) => !name.startsWith("OFFSWITCH_"));
    this.#environment = {
      ...Object.fromEntries(mine),
      OFFSWITCH_DATA_DIR: folder,
      OFFSWITCH_LISTEN: `127.0.0.1:${port}`,
      ...settings,
    };
  }

  /** @param {string} [clock] how far its clock is wrong, such as `-10m` */
  async start(clock) {
    const stdio = ["ignore", "ignore", this.#log];
    const env = { ...this.#environment, ...(clock === undefined ? {} : fakedClock(clock)) };
    this.#child = spawn(BINARY, ["serve"], { env, stdio });
    for (let tries = 0; tries < 600; tries += 1) {
      const ready = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (ready?.ok) break;
      await new Promise((resume) => setTimeout(resume, 100));
    }
    this.apiKey ??= (await readFile(join(this.#folder, "admin.key"), "utf8")).trim();
  }

  get pid() {
    return this.#child.pid;
  }

  /** @param {NodeJS.Signals} name */
  signal(name) {
    this.#child.kill(name);
  }

  /** Kills the process. */
  async kill() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resume) => this.#child.once("exit", resume));
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** Creates an API key. */
  async createKey(name, ...scopes) {
    return (await this.call("POST", "/v1/api-keys", { name, scopes })).key;
  }

  async deleteKey(name) {
    const { api_keys } = await this.call("GET", "/v1/api-keys");
    const { id } = api_keys.find((one) => one.name === name);
    await this.call("DELETE", `/v1/api-keys/${id}`);
  }

  /** Calls it with the admin key; throws unless that succeeds. */
  async call(method, path, body) {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.apiKey}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  async close() {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

export async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}

function binary(name) {
  return join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug", name);
}

/** What is built as for a release, in place of what tests run. */
const MEASURED = process.env.MEASURED_PROGRAM;
const BINARY = MEASURED ?? binary("offswitch");
