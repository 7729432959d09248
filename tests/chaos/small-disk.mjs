// A disk with little space, for faults: a file system of its own, in memory.

import { spawnSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

export class SmallDisk {
  #folder;

  /** @param {string} folder */
  constructor(folder) {
    this.#folder = folder;
  }

  /** Returns undefined where this process may not mount one. @param {string} folder @param {number} bytes */
  static mount(folder, bytes) {
    const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "none", folder]);
    return status === 0 ? new SmallDisk(folder) : undefined;
  }

  /** Fills all free space. */
  fill() {
    const file = openSync(this.#ballast, "a");
    let block = Buffer.alloc(1 << 20, 7);
    while (block.length > 0) {
      try {
        writeSync(file, block);
      } catch {
        block = block.subarray(0, block.length >> 1);
      }
    }
    closeSync(file);
  }

  /** Frees it again. */
  makeRoom() {
    rmSync(this.#ballast);
  }

  /** Lazily: a process that is being killed may still have files open. */
  unmount() {
    spawnSync("umount", ["-l", this.#folder]);
  }

  get #ballast() {
    return join(this.#folder, "ballast");
  }
}
