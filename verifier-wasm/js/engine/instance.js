// The only wasm instance of this runtime, and its replacement after a trap.

import { __wbg_reset_state, initSync } from "../../pkg/offswitch.js";
import { notLoaded } from "./not-loaded.js";

/** How often the instance was replaced: all earlier objects are gone. */
let replaced = 0;
export const generation = () => replaced;
let isBroken = false;
/** The times of the latest traps, milliseconds. @type {number[]} */
let traps = [];

/** Thrown instead of a trap, after the instance was replaced. */
export class TrapError extends Error {}

/** The instance's memory. @returns {WebAssembly.Memory} */
export function instanceMemory() {
  // Once there is an instance, initSync returns it.
  return /** @type {any} */ (initSync)().memory;
}

/** Throws if wasm is not loaded yet: otherwise the first call into it would fail without a reason. */
export function ensureLoaded() {
  try {
    instanceMemory();
  } catch {
    throw notLoaded("await load() before new Verifier()");
  }
}

/** Runs a function of the application: an error in it must not affect the verifier. @param {() => unknown} call */
export async function unharmed(call) {
  try {
    await call();
  } catch {
    // It is an error of the application.
  }
}

/** Runs `work`; if it traps, returns the result of `otherwise`. @template T @param {() => T} work @param {(trap: TrapError) => T} otherwise */
export function survive(work, otherwise) {
  try {
    return work();
  } catch (cause) {
    const error = afterError(cause);
    if (error instanceof TrapError) return otherwise(error);
    throw error;
  }
}

/**
 * Makes sure that there is a working instance.
 *
 * An instance that keeps trapping pauses for a while: each new one takes time to load the held state again, and
 * an attacker who can trigger traps must not be able to use up all of that time.
 */
export function ensureInstance() {
  if (traps.length >= MAX_TRAPS) {
    const now = Date.now();
    // Whichever way the clock was set.
    if (Math.abs(now - /** @type {number} */ (traps.at(-1))) < REST_MS) {
      throw new TrapError("the WebAssembly instance failed repeatedly; retrying in 2 s");
    }
    traps = [];
  }
  if (isBroken) replaceInstance();
}

/**
 * Returns the error that a call into wasm must throw instead of `error`. After a trap nothing in the instance
 * can be trusted, so a new one replaces it.
 *
 * @param {unknown} error
 */
export function afterError(error) {
  // A RangeError is an exhausted stack: it unwinds past the code that restores wasm's own stack.
  if (!(error instanceof WebAssembly.RuntimeError || error instanceof RangeError)) return error;
  const now = Date.now();
  traps = [...traps.filter((at) => now - at < TRAPS_WITHIN_MS), now];
  replaced += 1;
  isBroken = true;
  replaceInstance();
  return new TrapError("the WebAssembly instance failed and was replaced", { cause: error });
}

function replaceInstance() {
  __wbg_reset_state();
  isBroken = false;
}

/** More traps than this within this time are too many. */
const MAX_TRAPS = 5;
const TRAPS_WITHIN_MS = 10_000;
const REST_MS = 2_000;
