// Any bundler and any runtime, with nothing to fetch or to configure: wasm lies in the code itself,
// zipped, and is half as large again. Runtimes that compile no wasm from bytes, such as Workers, need
// another entry.

import { initSync } from "../pkg/offswitch.js";
import { zipped } from "../pkg/offswitch_inline.js";
import { creating } from "./create-verifier.js";
import { follow } from "./follow.js";
import { webCrypto } from "./host-webcrypto.js";
import { RSA, useHost } from "./host.js";

useHost(`ES256 ${RSA}`, webCrypto);

/** Brings wasm to life; `createVerifier` does so by itself. */
export async function load() {
  const bytes = Uint8Array.from(atob(zipped), (character) => character.charCodeAt(0));
  const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  initSync(await WebAssembly.compile(await new Response(unzipped).arrayBuffer()));
}

export const createVerifier = creating(load, follow);
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature } from "./layers.js";
