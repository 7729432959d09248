// Browsers and bundlers: wasm is fetched from next to this file, or given as `wasm`.

import { initSync } from "../../pkg/offswitch.js";
import { packageFor } from "../verifier/create-verifier.js";
import { followWith } from "../feed/follow.js";
import { webCrypto } from "../engine/host-webcrypto.js";
import { ECDSA, RSA, hosting } from "../engine/host.js";
import { inlineInstead } from "./fallback.js";
import { moduleOf } from "./given.js";

let isLoaded = false;

/**
 * Loads wasm; `createVerifier` calls it.
 *
 * @param {any} [wasm] a WebAssembly.Module, its bytes, a Response or a URL, or a promise of one
 */
export async function load(wasm) {
  if (isLoaded) return;
  initSync(await (wasm === undefined ? found().catch(inlineInstead) : moduleOf(wasm)));
  isLoaded = true;
}

/** The file, in a function that fails late: in some bundles import.meta.url is empty. */
async function found() {
  return moduleOf(new URL("../../pkg/offswitch_bg.wasm", import.meta.url));
}

const follow = followWith(() => import("../feed/stream-follower.js"));
const loadHeads = () => import("../feed/head.js");
export const { Verifier, createVerifier } = packageFor({
  follow, hosts: new Map(hosting(`${ECDSA} ${RSA}`, webCrypto)), load, loadHeads,
});
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
