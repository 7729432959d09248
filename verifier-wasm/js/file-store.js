// A folder of Node, Deno or Bun as the place where a verifier keeps its floor and its snapshots.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { keep } from "./stores.js";

/**
 * Each name is a file of its own, replaced as a whole: a crash leaves the one before.
 *
 * @param {string} folder
 */
export function fileStore(folder) {
  return keep({
    async read(key) {
      try {
        return new Uint8Array(await readFile(join(folder, key)));
      } catch (error) {
        if (/** @type {NodeJS.ErrnoException} */ (error).code === "ENOENT") return undefined;
        throw error;
      }
    },
    async write(key, bytes) {
      await mkdir(folder, { recursive: true });
      const next = join(folder, `${key}.${crypto.randomUUID()}.next`);
      await writeFile(next, bytes);
      await rename(next, join(folder, key));
    },
  });
}
