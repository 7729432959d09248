// Any bundler and any runtime, with nothing to fetch or to configure: wasm is inside the JavaScript.
// Runtimes that compile no wasm from bytes, such as Workers, need another entry.

import { initSync } from "../../pkg/offswitch.js";
import { packageFor } from "../verifier/create-verifier.js";
import { followWith } from "../feed/follow.js";
import * as heads from "../feed/head.js";
import * as streams from "../feed/stream-follower.js";
import { webCrypto } from "../engine/host-webcrypto.js";
import { ECDSA, RSA, hosting } from "../engine/host.js";
import { inlineModule } from "./inline-module.js";

/** Loads wasm; `createVerifier` calls it. */
export async function load() {
  initSync(await inlineModule());
}

const follow = followWith(() => Promise.resolve(streams));
const loadHeads = () => Promise.resolve(heads);
export const { Verifier, createVerifier } = packageFor({
  follow, hosts: new Map(hosting(`${ECDSA} ${RSA}`, webCrypto)), load, loadHeads,
});
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
