// A real Redis server in a folder of its own, as durable as the control plane wants it.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./control-plane.mjs";
import { until } from "./feed.mjs";

export async function startRedis() {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-redis-"));
  const port = await freePort();
  const child = spawn("redis-server", [
    "--port", `${port}`, "--bind", "127.0.0.1", "--dir", folder, "--save", "",
    "--appendonly", "yes", "--appendfsync", "always",
  ], { stdio: "ignore" });
  if (!await until(() => answers(port))) throw new Error("redis-server does not answer");
  const gone = new Promise((resume) => child.once("exit", resume));
  /** Ends the process as a crash does. */
  const kill = async () => {
    child.kill("SIGKILL");
    await gone;
  };
  const close = async () => {
    await kill();
    await rm(folder, { recursive: true, force: true });
  };
  return { url: `redis://127.0.0.1:${port}`, kill, close };
}

/** Whether somebody listens. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => resolve(false)).on("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
