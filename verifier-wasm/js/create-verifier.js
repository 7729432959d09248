// createVerifier for runtimes that live long: it follows the feed until it is closed.

import { Verifier } from "./verifier.js";

/**
 * @param {(wasm?: unknown) => void | Promise<void>} load brings wasm to life, once
 * @param {{ follow: boolean }} runtime whether timers may outlive a request here
 */
export function creating(load, { follow: mayFollow }) {
  /** @param {any} options */
  return async function createVerifier(options) {
    await load(options?.wasm);
    const verifier = new Verifier(options);
    await verifier.refresh();
    if (mayFollow) void follow(verifier);
    return verifier;
  };
}

/** Rounds without end; what fails is tried again, with the feed client's own backoff. */
async function follow(/** @type {Verifier} */ verifier) {
  const closed = new AbortController();
  verifier.onClose(() => closed.abort());
  const { longPollSeconds, pollSeconds } = verifier;
  const round = { waitSeconds: longPollSeconds, signal: closed.signal };
  for (;;) {
    const began = Date.now();
    const result = await verifier.refresh(round).catch(() => ({}));
    if (closed.signal.aborted) return;
    const isLongPoll = longPollSeconds > 0 && "applied" in result;
    const seconds = isLongPoll ? MIN_PAUSE_SECONDS : pollSeconds * (0.9 + Math.random() / 5);
    await pause(seconds * 1000 - (Date.now() - began));
    if (closed.signal.aborted) return;
  }
}

/** A pause that keeps no process alive. */
function pause(/** @type {number} */ milliseconds) {
  return new Promise((resume) => {
    const timer = setTimeout(resume, Math.max(milliseconds, 0));
    if (typeof timer === "object") /** @type {any} */ (timer).unref?.();
  });
}

/** A feed that answers at once however long it may wait is not asked more often than this. */
const MIN_PAUSE_SECONDS = 0.2;
