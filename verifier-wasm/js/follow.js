// Follows the feed without end, where timers may outlive a request.

import { followEvents } from "./feed-stream.js";

/**
 * Rounds without end. What fails is tried again, with the feed client's own backoff. A stream that
 * ends is resumed after a round of polling, which also serves where streams do not get through.
 *
 * @param {import("./verifier.js").Verifier} verifier @param {AbortSignal} signal
 */
export async function follow(verifier, signal) {
  const { follow: mode, longPollSeconds, pollSeconds } = verifier.feedSettings;
  verifier.following = mode;
  verifier.onBehind(() => void verifier.refresh({ signal }).catch(() => {}));
  const waitSeconds = mode === "long-poll" ? longPollSeconds : 0;
  while (!signal.aborted) {
    let isServed = mode === "long-poll";
    let spent = stopwatch();
    if (mode === "stream") {
      const end = await verifier.followStream(followEvents, signal).catch(() => ({}));
      isServed = "applied" in end;
      // A server that goes down leaves everybody at once; they do not come back at once.
      if (spent() > MIN_ROUND_SECONDS) await pause(pollSeconds * Math.random(), signal);
      spent = stopwatch();
    }
    const result = await verifier.refresh({ signal, waitSeconds }).catch(() => ({}));
    const isGood = "applied" in result;
    const jittered = pollSeconds * (isGood ? 0.9 + Math.random() / 5 : 0.5 + Math.random());
    await pause((isServed && isGood ? MIN_ROUND_SECONDS : jittered) - spent(), signal);
  }
}

/** Tells the seconds since now. */
function stopwatch() {
  const began = performance.now();
  return () => (performance.now() - began) / 1000;
}

/** Keeps no process alive. @param {number} seconds @param {AbortSignal} signal */
async function pause(seconds, signal) {
  if (signal.aborted) return;
  await new Promise((resume) => {
    const timer = setTimeout(resume, seconds * 1000);
    /** @type {any} */ (timer).unref?.();
    signal.onabort = () => {
      clearTimeout(timer);
      resume(undefined);
    };
  });
}

/** No feed is asked more often than this, however soon it answers. */
const MIN_ROUND_SECONDS = 0.2;
