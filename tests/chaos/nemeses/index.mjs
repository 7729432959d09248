// The faults by name. None of them may lose anything that was acknowledged: each happens under load and is over when
// its function returns.

import { spawnSync } from "node:child_process";
import { isInRoom } from "../room.mjs";
import { flush, older } from "./content.mjs";
import { disk, embeddedDisk, embeddedFsync, fsync } from "./disk.mjs";
import { clusterFailover, failover, lossyFailover, migration } from "./failovers.mjs";
import { cut, halfOpen, slow } from "./network.mjs";
import { clock, embeddedKill, freeze, kill, restart } from "./processes.mjs";

/**
 * @typedef {object} Nemesis
 * @property {"one-server" | "sentinels" | "cluster" | "embedded"} on the system that it needs
 * @property {"disk" | "room" | "strace"} [needs] what else it needs of the machine
 * @property {number} seconds about how long it takes, until everything works again
 * @property {(random: () => number) => object} choose what happens to what, and for how long
 * @property {(system: any, how: any) => Promise<Partial<import("../history.mjs").Fault> | void>} strike
 */

/** @type {Record<string, Nemesis>} */
export const NEMESES = {
  clock, cut, disk, flush, freeze, fsync, "half-open": halfOpen, kill, older, restart, slow,
  "sentinel-failover": failover, "lossy-failover": lossyFailover,
  "cluster-failover": clusterFailover, migration,
  "embedded-disk": embeddedDisk, "embedded-fsync": embeddedFsync, "embedded-kill": embeddedKill,
};

/** Those of `names` that this machine cannot let happen. @param {string[]} names */
export function impossible(names) {
  const has = {
    disk: () => isInRoom || process.getuid?.() === 0,
    room: () => isInRoom && spawnSync("nft", ["--version"]).status === 0,
    strace: () => spawnSync("strace", ["-o", "/dev/null", "true"]).status === 0,
  };
  return names.filter((name) => has[NEMESES[name].needs]?.() === false);
}

/** Lets one happen, and waits until everything works again; returns the fault for the history. */
export async function strike(name, system, how) {
  const begin = Date.now();
  const more = await NEMESES[name].strike(system, how);
  const over = Date.now();
  await system.works();
  const end = Date.now();
  return { kind: name, begin, end, recovered: end - over, ...more };
}
