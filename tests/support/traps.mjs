// No known input makes wasm trap, so the tests make calls into it fail like a trap.

import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";

/** All calls into wasm on a verifier. */
const CALLS = Object.getOwnPropertyNames(WasmVerifier.prototype).filter(
  (name) => !["constructor", "free", "__destroy_into_raw"].includes(name),
);

/** Runs `run` while each of these calls into wasm traps. */
export function trapping(run, calls = ["candidate", "judge", "verify"], error = unreachable) {
  const originals = calls.map((name) => [name, WasmVerifier.prototype[name]]);
  for (const [name] of originals) {
    WasmVerifier.prototype[name] = () => { throw error(); };
  }
  try {
    return run();
  } finally {
    for (const [name, original] of originals) WasmVerifier.prototype[name] = original;
  }
}

export const unreachable = () => new WebAssembly.RuntimeError("unreachable");
/** It unwinds past wasm, which is left in the middle of its work. */
export const exhausted = () => new RangeError("Maximum call stack size exceeded");
export { CALLS };

/** Moves the machine's clock ahead, so that the traps of one test do not count in the next. */
export function later(seconds) {
  ahead += seconds * 1000;
}

let ahead = 0;
const { now } = Date;
Date.now = () => now() + ahead;
