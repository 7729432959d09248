// Where a verifier can store its floor and its snapshots: each store reads and writes bytes by name.

import { Keeper } from "./keeper.js";

/**
 * @typedef {import("./stores.d.ts").Place} Place
 * @typedef {import("../index.d.ts").Store} Store
 */

/**
 * Makes a store of any place that reads and writes bytes by name.
 *
 * @param {Place} place @returns {Store & Place}
 */
export function keep(place) {
  /** @type {import("./keeper.js").MakeKeeper} */
  const keeper = (...given) => new Keeper(place, ...given);
  return { ...place, keeper };
}

/**
 * The Cache API of browsers and Workers.
 *
 * @param {string} [name] of the cache
 */
export function cacheStore(name = "offswitch") {
  const address = (/** @type {string} */ key) => `https://offswitch.invalid/${key}`;
  return keep({
    async read(key) {
      const found = await (await caches.open(name)).match(address(key));
      return found && new Uint8Array(await found.arrayBuffer());
    },
    async write(key, bytes) {
      const headers = { "cache-control": "max-age=31536000" };
      const kept = new Response(/** @type {any} */ (bytes), { headers });
      await (await caches.open(name)).put(address(key), kept);
    },
  });
}

/**
 * A Workers KV namespace. It may return an older value; that is noticed and does no harm.
 *
 * @param {{ get(key: string, type: "arrayBuffer"): Promise<ArrayBuffer | null>,
 *   put(key: string, value: ArrayBufferView): Promise<void> }} namespace
 * @param {string} [prefix]
 */
export function kvStore(namespace, prefix = "offswitch:") {
  return keep({
    async read(key) {
      const found = await namespace.get(prefix + key, "arrayBuffer");
      return found === null ? undefined : new Uint8Array(found);
    },
    write: (key, bytes) => namespace.put(prefix + key, bytes),
  });
}
