// A real control plane on its embedded store, in a process of its own.

import { spawn, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./fixture.mjs";

export async function startControlPlane() {
  const built = spawnSync("cargo", ["build", "--quiet", "--package", "offswitch"], { cwd: ROOT });
  if (built.status !== 0) throw new Error(String(built.stderr));
  const folder = await mkdtemp(join(tmpdir(), "offswitch-plane-"));
  const port = await freePort();
  const plane = new ControlPlane(folder, port);
  await plane.start();
  return plane;
}

class ControlPlane {
  #child;
  #folder;
  #port;

  constructor(folder, port) {
    this.#folder = folder;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  async start() {
    // A variable that it does not know is an error to it.
    const mine = Object.entries(process.env).filter(([name]) => !name.startsWith("OFFSWITCH_"));
    const env = {
      ...Object.fromEntries(mine),
      OFFSWITCH_DATA_DIR: this.#folder,
      OFFSWITCH_LISTEN: `127.0.0.1:${this.#port}`,
    };
    const binary = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug/offswitch");
    this.#child = spawn(binary, ["serve"], { env, stdio: ["ignore", "ignore", "inherit"] });
    for (let tries = 0; tries < 600; tries += 1) {
      const ready = await fetch(`${this.url}/readyz`).catch(() => undefined);
      if (ready?.ok) break;
      await new Promise((resume) => setTimeout(resume, 100));
    }
    this.apiKey = (await readFile(join(this.#folder, "admin.key"), "utf8")).trim();
  }

  /** Ends the process as a crash does. */
  async kill() {
    const gone = new Promise((resume) => this.#child.once("exit", resume));
    this.#child.kill("SIGKILL");
    await gone;
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

async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}
