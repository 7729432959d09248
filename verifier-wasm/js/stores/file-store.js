// A folder of Node, Deno or Bun in which a verifier stores its floor and its snapshots.

import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { keep } from "./stores.js";

/**
 * Each name is a separate file that is replaced as a whole: a crash, also of the machine, leaves the previous one.
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
      const file = await open(next, "w", 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(next, join(folder, key));
      await syncFolder(folder);
    },
  });
}

/** Without this, a power failure may undo a rename. @param {string} folder */
async function syncFolder(folder) {
  try {
    const handle = await open(folder);
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    // Some systems do not let a folder be opened or flushed (Windows).
    if (!CANNOT_SYNC.includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? "")) throw error;
  }
}

const CANNOT_SYNC = ["EACCES", "EBADF", "EINVAL", "EISDIR", "ENOSYS", "ENOTSUP", "EPERM"];
