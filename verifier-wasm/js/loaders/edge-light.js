// Vercel's edge runtime: wasm is imported as a compiled module.

import { initSync } from "../../pkg/offswitch.js";
import module from "../../pkg/offswitch_bg.wasm?module";
import { packageFor } from "../verifier/create-verifier.js";
import { isolate } from "./isolate.js";

// The sandbox of `next dev` and `next start` compiles modules in another realm than this code runs in.
initSync(Object.setPrototypeOf(module, WebAssembly.Module.prototype));

export const { Verifier, createVerifier } = packageFor(isolate);
export { load } from "./isolate.js";
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
