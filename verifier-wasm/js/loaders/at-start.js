// Loads wasm before anything else runs, where that needs no waiting.

import { initSync } from "../../pkg/offswitch.js";
import { moduleOf } from "./given.js";

/**
 * Loads what `read` returns now. Where that fails, the function that is returned loads the wasm that it
 * is given, or what `otherwise` finds.
 *
 * @param {() => Uint8Array} read
 * @param {(cause: unknown) => Promise<WebAssembly.Module>} otherwise
 * @returns {(wasm?: any) => Promise<void>}
 */
export function loadAtStart(read, otherwise) {
  /** @type {unknown} */
  let problem;
  try {
    initSync(read());
  } catch (error) {
    problem = error;
  }
  return async (wasm) => {
    if (problem === undefined) return;
    initSync(await (wasm === undefined ? otherwise(problem) : moduleOf(wasm)));
    problem = undefined;
  };
}
