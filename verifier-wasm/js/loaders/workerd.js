// Workers: wasm is imported as a compiled module.

import { initSync } from "../../pkg/offswitch.js";
import module from "../../pkg/offswitch_bg.wasm";
import { packageFor } from "../verifier/create-verifier.js";
import { isolate } from "./isolate.js";

initSync(module);

export const { Verifier, createVerifier } = packageFor(isolate);
export { load } from "./isolate.js";
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
