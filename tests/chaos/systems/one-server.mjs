// Three control planes on one Redis server, whose files are on a small disk of its own, and a network between them.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../../support/control-plane.mjs";
import { Redis } from "../../support/redis.mjs";
import { Network } from "../network.mjs";
import { SmallDisk } from "../small-disk.mjs";
import { System } from "./system.mjs";

export class OneServer extends System {
  /** The way of each control plane to the store. @type {Network[]} */
  networks = [];

  get processes() {
    return { ...super.processes, store: this.redis };
  }

  /** @param {string} folder for data and logs @param {{ appendfsync: "always" | "everysec" }} how */
  async start(folder, { appendfsync }) {
    const home = join(folder, "data", "redis");
    await mkdir(home, { recursive: true });
    this.disk = SmallDisk.mount(home, DISK_BYTES);
    this.redis = new Redis(home, await freePort());
    await this.redis.start(appendfsync);
    for (let at = 0; at < PLANES; at += 1) {
      const network = await Network.to(this.redis.port);
      this.networks.push(network);
      await this.addPlane(folder, { OFFSWITCH_STORE: `redis://127.0.0.1:${network.port}` });
    }
  }

  stop() {
    super.stop();
    this.disk?.unmount();
  }
}

/** How many control planes a system has, unless its store is a file. */
export const PLANES = 3;
/** Far more than the append-only file of a run. */
const DISK_BYTES = 256 << 20;
