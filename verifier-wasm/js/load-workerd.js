// Workers: wasm is imported as a compiled module. The feed is refreshed by requests, in waitUntil.

import { initSync, verifyJws, verifySignature } from "../pkg/offswitch.js";
import module from "../pkg/offswitch_bg.wasm";
import { creating } from "./create-verifier.js";

initSync({ module });

/** Nothing is left to load; here so that every runtime exports the same. */
export async function load() {}

export const createVerifier = creating(load, { follow: false });
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature };
