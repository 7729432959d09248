// Node, Deno and Bun: wasm is read from the file beside this one, before anything else runs.

import { readFileSync } from "node:fs";
import { initSync } from "../pkg/offswitch.js";

/** Why there is no wasm yet: a bundler has left the file behind. @type {unknown} */
let problem;
try {
  initSync(readFileSync(new URL("../pkg/offswitch_bg.wasm", import.meta.url)));
} catch (error) {
  problem = error;
}

/** Brings wasm to life where its file was not found. @param {any} [wasm] a module or its bytes */
export async function load(wasm) {
  if (problem === undefined) return;
  if (wasm === undefined) throw problem;
  initSync(await wasm);
  problem = undefined;
}
