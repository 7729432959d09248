// Control planes on one slot of a cluster: three primaries, each with a replica.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../../support/control-plane.mjs";
import { until } from "../../support/feed.mjs";
import { Redis } from "../../support/redis.mjs";
import { PLANES } from "./one-server.mjs";
import { System } from "./system.mjs";

export class Cluster extends System {
  /** @type {Redis[]} */
  nodes = [];

  get processes() {
    return { ...super.processes, ...Object.fromEntries(this.nodes.map((one, at) => [`node-${at}`, one])) };
  }

  /** @param {string} folder for data and logs */
  async start(folder) {
    for (let at = 0; at < 2 * PRIMARIES; at += 1) {
      const home = join(folder, "data", `node-${at}`);
      await mkdir(home, { recursive: true });
      const bus = await freePort();
      this.nodes.push(new Redis(home, await freePort(), [...IN_CLUSTER, "--cluster-port", `${bus}`]));
      await this.nodes[at].start();
      if (at > 0) await this.nodes[0].command(`CLUSTER MEET 127.0.0.1 ${this.nodes[at].port} ${bus}`);
    }
    for (const [at, range] of ["0 5460", "5461 10922", "10923 16383"].entries()) {
      await this.nodes[at].command(`CLUSTER ADDSLOTSRANGE ${range}`);
    }
    await this.#until("the nodes do not know each other", async (node) =>
      (await this.nodes[node].command("CLUSTER NODES")).split("\n").filter(Boolean).length === this.nodes.length);
    for (const [at, replica] of this.nodes.slice(PRIMARIES).entries()) {
      await replica.command(`CLUSTER REPLICATE ${await this.idOf(at)}`);
    }
    this.slot = await this.nodes[0].command("CLUSTER KEYSLOT {offswitch}:meta");
    await this.untilWhole();
    const seeds = this.nodes.map(({ port }) => `127.0.0.1:${port}`).join(",");
    for (let at = 0; at < PLANES; at += 1) await this.addPlane(folder, { OFFSWITCH_STORE: `redis+cluster://${seeds}` });
  }

  /** Waits until every node serves, and all agree who copies whom. */
  async untilWhole() {
    await this.#until("the cluster does not become whole", async (node) => {
      const [info, nodes, about] = [
        await this.nodes[node].command("CLUSTER INFO"), await this.nodes[node].command("CLUSTER NODES"),
        await this.nodes[node].about("replication"),
      ];
      const copies = nodes.split("\n").filter((line) => /\bslave\b/.test(line) && !/\bfail\b/.test(line));
      return info.includes("cluster_state:ok") && copies.length === PRIMARIES
        && (about.role === "master" || about.master_link_status === "up");
    });
  }

  /** @param {number} node */
  idOf(node) {
    return this.nodes[node].command("CLUSTER MYID");
  }

  /** The nodes that have the slot of the feed, the primary first, as a node that runs sees it. */
  async holders() {
    const asked = this.nodes.find(({ isRunning }) => isRunning);
    const ranges = await asked.command("CLUSTER SLOTS");
    const [, , ...nodes] = ranges.find(([first, last]) => first <= this.slot && this.slot <= last);
    return nodes.map(([, port]) => this.nodes.findIndex((node) => node.port === port));
  }

  /** The nodes that are primaries. */
  async primaries() {
    const ranges = await this.nodes[0].command("CLUSTER SLOTS");
    const ports = new Set(ranges.map(([, , [, port]]) => port));
    return [...this.nodes.keys()].filter((at) => ports.has(this.nodes[at].port));
  }

  /** @param {string} problem @param {(node: number) => Promise<boolean>} holds */
  async #until(problem, holds) {
    for (const node of this.nodes.keys()) {
      if (!await until(() => holds(node).catch(() => false), 60)) throw new Error(problem);
    }
  }
}

const PRIMARIES = 3;
const IN_CLUSTER = [
  "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0",
];
