// Node, Deno and Bun: wasm is read from the file beside this one.

import { readFileSync } from "node:fs";
import { initSync, verifyJws, verifySignature } from "../pkg/offswitch.js";
import { creating } from "./create-verifier.js";

initSync({ module: readFileSync(new URL("../pkg/offswitch_bg.wasm", import.meta.url)) });

/** Nothing is left to load; here so that every runtime exports the same. */
export async function load() {}

export const createVerifier = creating(load, { follow: true });
export { Verifier } from "./verifier.js";
export { verifyJws, verifySignature };
