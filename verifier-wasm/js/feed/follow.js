// Follows the feed without end, where timers may outlive a request.

import { followEvents } from "./stream.js";

/**
 * Polls without end, and beside that follows the stream where that is wanted: as long as it brings
 * everything in time nothing is polled. What fails is tried again, with the feed client's own backoff.
 *
 * @param {import("../verifier/verifier.js").Verifier} verifier @param {AbortSignal} signal
 */
export async function follow(verifier, signal) {
  const { follow: mode, pollSeconds } = verifier.feedSettings;
  verifier.following = mode;
  const refresh = oneAtATime(() => verifier.refresh({ signal, waitSeconds: verifier.waitSeconds }).catch(() => ({})));
  const catchUp = oneAtATime(() => verifier.refresh({ signal }).catch(() => ({})));
  verifier.onBehind(() => void catchUp());
  if (mode === "stream") {
    void followStreams(verifier, signal, refresh);
    // It may bring everything from the beginning.
    await pause(pollSeconds * (0.5 + Math.random() / 2), signal);
  }
  while (!signal.aborted) {
    const quiet = verifier.quietSeconds;
    const spent = stopwatch();
    const result = quiet > 0 ? {} : await refresh();
    // A long poll that had to wait, or has brought something, is followed by the next one.
    const isNews = "applied" in result && ["extended", "replaced"].includes(String(result.applied));
    const isServed = mode === "long-poll" && "applied" in result && (isNews || spent() >= 1);
    const jittered = pollSeconds * ("applied" in result ? 0.9 + Math.random() / 5 : 0.5 + Math.random());
    let next = isServed ? MIN_ROUND_SECONDS : jittered;
    // The end of a stream is noticed within the time of a poll.
    if (quiet > 0) next = Math.min(quiet, jittered);
    // The end of the backoff must not be missed by much where a verdict depends on it.
    else if (!("applied" in result)) next = Math.min(jittered, Math.max(MIN_ROUND_SECONDS, verifier.retrySeconds));
    await pause(next - spent(), signal);
  }
}

/**
 * One stream after the other. What a stream could not bring (a gap, a base, a snapshot that is too
 * large for it) is polled for before the next one.
 *
 * @param {import("../verifier/verifier.js").Verifier} verifier @param {AbortSignal} signal
 * @param {() => Promise<unknown>} refresh
 */
async function followStreams(verifier, signal, refresh) {
  const { pollSeconds } = verifier.feedSettings;
  while (!signal.aborted) {
    const spent = stopwatch();
    const end = await verifier.followStream(followEvents, signal).catch(() => ({}));
    // A server that goes down leaves everybody in the same moment; they come back one by one.
    const wasServed = "applied" in end || spent() > MIN_ROUND_SECONDS;
    await pause(pollSeconds * (wasServed ? Math.random() : 0.5 + Math.random()), signal);
    const wantsPoll = ("wantsPoll" in end && end.wantsPoll) || ("needsBase" in end && end.needsBase);
    if (wantsPoll && !signal.aborted) await refresh();
  }
}

/** Who asks while it is under way waits for that. @template T @param {() => Promise<T>} work */
function oneAtATime(work) {
  /** @type {Promise<T> | undefined} */
  let current;
  return () => (current ??= work().finally(() => {
    current = undefined;
  }));
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
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resume(undefined);
    };
    const timer = setTimeout(end, seconds * 1000);
    /** @type {any} */ (timer).unref?.();
    signal.addEventListener("abort", end);
  });
}

/** No feed is asked more often than this, however soon it answers. */
const MIN_ROUND_SECONDS = 0.2;
