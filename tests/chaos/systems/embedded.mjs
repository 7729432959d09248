// One control plane with the store embedded in it, its files on a small disk of its own.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { SmallDisk } from "../small-disk.mjs";
import { System } from "./system.mjs";

export class Embedded extends System {
  /** @param {string} folder for data and logs */
  async start(folder) {
    const data = join(folder, "data", "plane-0");
    await mkdir(data, { recursive: true });
    this.disk = SmallDisk.mount(data, DISK_BYTES);
    await this.addPlane(folder, {}, data);
  }

  stop() {
    super.stop();
    this.disk?.unmount();
  }
}

const DISK_BYTES = 64 << 20;
