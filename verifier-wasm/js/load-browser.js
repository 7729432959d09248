// Browsers and bundlers: wasm is fetched from beside this file, or given as `wasm`.

import { initSync } from "../pkg/offswitch.js";
import { creating } from "./create-verifier.js";
import { follow } from "./follow.js";
import { webCrypto } from "./host-webcrypto.js";
import { RSA, useHost } from "./host.js";

useHost(`ES256 ${RSA}`, webCrypto);

/**
 * Brings wasm to life; `createVerifier` does so by itself.
 *
 * @param {any} [wasm] a WebAssembly.Module, its bytes, a Response or a URL, or a promise of one
 */
export async function load(wasm = new URL("../pkg/offswitch_bg.wasm", import.meta.url)) {
  const given = await wasm;
  const isAddress = typeof given === "string" || given instanceof URL;
  const found = isAddress ? await fetch(given) : given;
  initSync(await compiled(found));
}

/** @param {any} found @returns {Promise<WebAssembly.Module>} */
async function compiled(found) {
  if (found instanceof WebAssembly.Module) return found;
  if (!(found instanceof Response)) return WebAssembly.compile(found);
  if (!found.ok) throw new Error(`wasm could not be fetched: status ${found.status}`);
  // Whatever content-type the server has for it.
  return WebAssembly.compile(await found.arrayBuffer());
}

export const createVerifier = creating(load, follow);
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature } from "./layers.js";
