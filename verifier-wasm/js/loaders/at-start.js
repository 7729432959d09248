// Loads wasm before anything else runs, if that needs no waiting.

import { initSync } from "../../pkg/offswitch.js";
import { moduleOf } from "./given.js";

/**
 * Loads the bytes of `read` now. If that fails, the returned function loads the wasm that it gets, or the
 * result of `otherwise`.
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
