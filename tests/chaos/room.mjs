// A room for a run: namespaces for its processes, its network and its mounts. However the run ends, the
// kernel then ends everything that it started, and its disks and its firewall are gone.

import { spawn, spawnSync } from "node:child_process";

const MARK = "CHAOS_ROOM";

/** Whether this program runs in a room of its own. */
export const isInRoom = process.env[MARK] === "1";

/** Runs this program again, in a room of its own, if the machine can make one; returns its exit code, or undefined. */
export async function runInRoom() {
  const arguments_ = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  if (process.getuid?.() !== 0) arguments_.unshift("--map-root-user");
  if (spawnSync("unshare", [...arguments_, "ip", "link", "set", "lo", "up"]).status !== 0) return undefined;
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const env = { ...process.env, [MARK]: "1" };
  const room = spawn("unshare", [...arguments_, ...again], { stdio: "inherit", env });
  // A terminal interrupts the program in the room as well, which then says what it has seen.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => room.kill("SIGKILL"));
  const [code] = await new Promise((ended) => room.on("exit", (...how) => ended(how)));
  return code ?? 1;
}

/** Lets processes in the room reach each other. */
export function openRoom() {
  spawnSync("ip", ["link", "set", "lo", "up"]);
}
