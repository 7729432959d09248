// The one wasm instance of this runtime, and what to do when it traps.

import { __wbg_reset_state, initSync } from "../pkg/offswitch.js";

let generation = 0;
let broken = false;

/** Thrown in place of a trap, after the instance was replaced. */
export class TrapError extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super("the verifier's wasm instance failed and was replaced", { cause });
    this.name = "TrapError";
  }
}

/** Grows whenever the instance was replaced: everything made before it is gone. */
export function instanceGeneration() {
  return generation;
}

/** The size of the instance's memory. */
export function instanceMemoryBytes() {
  // Once there is an instance, initSync answers with it.
  return /** @type {any} */ (initSync)().memory.buffer.byteLength;
}

/**
 * Runs `call` into wasm. After a trap nothing in the instance can be trusted, so a new one takes
 * its place.
 *
 * @template T
 * @param {() => T} call
 * @returns {T}
 */
export function guarded(call) {
  if (broken) replaceInstance();
  try {
    return call();
  } catch (error) {
    // A RangeError is an exhausted stack: it unwinds past the code that restores wasm's own stack.
    if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) throw error;
    generation += 1;
    broken = true;
    replaceInstance();
    throw new TrapError(error);
  }
}

function replaceInstance() {
  __wbg_reset_state();
  broken = false;
}
