// The one wasm instance of this runtime, and what to do when it traps.

import { __wbg_reset_state, initSync } from "../../pkg/offswitch.js";
import { notLoaded } from "./not-loaded.js";

/** How often the instance was replaced: everything made before is gone. */
let replaced = 0;
export const generation = () => replaced;
let isBroken = false;
/** When the instance trapped of late, milliseconds. @type {number[]} */
let traps = [];

/** Thrown in place of a trap, after the instance was replaced. */
export class TrapError extends Error {}

/** The instance's memory. @returns {WebAssembly.Memory} */
export function instanceMemory() {
  // Once there is an instance, initSync answers with it.
  return /** @type {any} */ (initSync)().memory;
}

/** Throws where wasm was not loaded yet: without this the first call into it fails without a reason. */
export function ensureLoaded() {
  try {
    instanceMemory();
  } catch {
    throw notLoaded("await load() before new Verifier()");
  }
}

/** Runs a function of the application: an error in it must break nothing here. @param {() => unknown} call */
export async function unharmed(call) {
  try {
    await call();
  } catch {
    // It is the application's own.
  }
}

/** Runs `work`; if it traps, answers with `otherwise`. @template T @param {() => T} work @param {(trap: TrapError) => T} otherwise */
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
 * Makes sure that there is an instance that works.
 *
 * One that keeps trapping pauses for a while: each new one costs the time to load what was held, and an
 * attacker who can trigger traps must not be able to spend all of it.
 */
export function ensureInstance() {
  if (traps.length >= MAX_TRAPS) {
    const now = Date.now();
    // In whichever direction the clock was set.
    if (Math.abs(now - /** @type {number} */ (traps.at(-1))) < REST_MS) {
      throw new TrapError("the WebAssembly instance failed repeatedly; retrying in 2 s");
    }
    traps = [];
  }
  if (isBroken) replaceInstance();
}

/**
 * Answers with what a call into wasm is to throw in place of `error`. After a trap nothing in the
 * instance can be trusted, so a new one takes its place.
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
