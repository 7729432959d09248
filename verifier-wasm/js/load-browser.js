// Browsers and bundlers: wasm is fetched from beside this file, or given as `wasm`.

import init, { verifyJws, verifySignature } from "../pkg/offswitch.js";
import { creating } from "./create-verifier.js";

/**
 * Brings wasm to life; `createVerifier` does so by itself.
 *
 * @param {any} [wasm] a WebAssembly.Module, its bytes, a Response or a URL
 */
export async function load(wasm = new URL("../pkg/offswitch_bg.wasm", import.meta.url)) {
  await init({ module_or_path: wasm });
}

export const createVerifier = creating(load, { follow: true });
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature };
