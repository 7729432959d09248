// createVerifier: everything is loaded, and where timers may outlive a request the feed is followed
// until the verifier is closed.

import { Verifier } from "./verifier.js";

/**
 * @param {(wasm?: unknown) => void | Promise<void>} load brings wasm to life, once
 * @param {(verifier: Verifier, signal: AbortSignal) => unknown} [follow] where timers may outlive a
 *   request
 */
export function creating(load, follow) {
  /** @param {any} options */
  return async function createVerifier(options) {
    await load(options?.wasm);
    const verifier = new Verifier(options);
    const closed = new AbortController();
    verifier.onClose(() => closed.abort());
    await verifier.refresh({ signal: closed.signal });
    void follow?.(verifier, closed.signal);
    return verifier;
  };
}
