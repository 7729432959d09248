// The package's API for one runtime: its loader defines how wasm is loaded, which cryptography the runtime has,
// and how the feed is followed there.

import { INTERNALS, begin } from "../feed/internals.js";
import { Verifier as AnyVerifier } from "./verifier.js";

/**
 * @typedef {import("./verifier.js").Platform & {
 *   load: (wasm?: any) => void | Promise<void>,
 *   follow?: (internals: import("../feed/internals.js").Internals, signal: AbortSignal) => unknown }} Runtime
 *   `load` starts wasm, once; `follow` follows the feed where timers may outlive a request
 */

/** @param {Runtime} runtime */
export function packageFor({ follow, load, ...platform }) {
  class Verifier extends AnyVerifier {
    /** @param {unknown} options */
    constructor(options) {
      super(options, platform);
    }
  }

  /** Loads everything, and follows the feed until the verifier is closed. @param {any} options */
  async function createVerifier(options) {
    await load(options?.wasm);
    const verifier = new Verifier(options);
    const closed = new AbortController();
    verifier.onClose(() => closed.abort());
    await begin(verifier[INTERNALS], { signal: closed.signal });
    void follow?.(verifier[INTERNALS], closed.signal);
    return verifier;
  }

  return { Verifier, createVerifier };
}
