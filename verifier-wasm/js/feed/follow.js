// Follows the feed for ever, in runtimes where timers may outlive a request.

/**
 * @typedef {import("./internals.js").Internals} Internals
 * @typedef {() => Promise<typeof import("./stream-follower.js")>} LoadStreams
 */

/**
 * Makes the follower of the feed. `loadStreams` loads stream-follower.js: later, or with the rest in programs
 * that are one file.
 *
 * @param {LoadStreams} loadStreams
 */
export function followWith(loadStreams) {
  return (/** @type {Internals} */ internals, /** @type {AbortSignal} */ signal) =>
    follow(internals, signal, loadStreams);
}

/**
 * Polls for ever, and follows the stream at the same time if that is configured: while the stream is in time
 * nothing is polled. Failures are retried with the feed client's backoff.
 *
 * @param {Internals} internals @param {AbortSignal} signal @param {LoadStreams} loadStreams
 */
async function follow(internals, signal, loadStreams) {
  const { feed } = internals;
  const { follow: mode, pollSeconds } = feed.settings;
  feed.following = mode;
  const refresh = oneAtATime(() => internals.refresh({ signal, waitSeconds: feed.waitSeconds }).catch(() => ({})));
  const catchUp = oneAtATime(() => internals.refresh({ signal }).catch(() => ({})));
  internals.onBehind(() => void catchUp());
  if (mode === "stream") {
    followStreams(internals, signal, refresh, loadStreams).catch((error) =>
      internals.report({ type: "failure", error: "stream_unavailable", detail: `${error}; the feed is polled` }));
    // The stream may bring everything from the beginning.
    await pause(pollSeconds * (0.5 + Math.random() / 2), signal);
  }
  while (!signal.aborted) {
    const quiet = feed.streams?.quietSeconds ?? 0;
    const spent = stopwatch();
    const result = quiet > 0 ? {} : await refresh();
    // A long poll that was held back, or that returned something, is followed by the next one.
    const isNews = "applied" in result && ["extended", "replaced"].includes(String(result.applied));
    const isServed = mode === "long-poll" && "applied" in result && (isNews || spent() >= 1);
    const jittered = pollSeconds * ("applied" in result ? 0.9 + Math.random() / 5 : 0.5 + Math.random());
    let next = isServed ? MIN_ROUND_SECONDS : jittered;
    // The end of a stream is noticed within the time of a poll.
    if (quiet > 0) next = Math.min(quiet, jittered);
    // When a verdict depends on it, the retry must not come much later than the end of the backoff.
    else if (!("applied" in result)) next = Math.min(jittered, Math.max(MIN_ROUND_SECONDS, feed.retrySeconds));
    await pause(next - spent(), signal);
  }
}

/**
 * One stream after the other. A poll fetches what a stream could not bring (a gap, a base, a snapshot that is
 * too large for it) before the next one.
 *
 * @param {Internals} internals @param {AbortSignal} signal @param {() => Promise<unknown>} refresh
 * @param {LoadStreams} loadStreams
 */
async function followStreams({ feed, onEvent, report }, signal, refresh, loadStreams) {
  const { StreamFollower } = await loadStreams();
  const streams = new StreamFollower(feed);
  const { pollSeconds } = feed.settings;
  while (!signal.aborted) {
    const spent = stopwatch();
    const end = await streams.follow(signal, onEvent).catch(() => ({}));
    if ("error" in end && !signal.aborted) report({ type: "failure", ...end });
    // A server that goes down disconnects all clients in the same moment; they return one by one.
    const wasServed = "applied" in end || spent() > MIN_ROUND_SECONDS;
    await pause(pollSeconds * (wasServed ? Math.random() : 0.5 + Math.random()), signal);
    const wantsPoll = ("wantsPoll" in end && end.wantsPoll) || ("needsBase" in end && end.needsBase);
    if (wantsPoll && !signal.aborted) await refresh();
  }
}

/** A caller that comes during the work waits for it. @template T @param {() => Promise<T>} work */
function oneAtATime(work) {
  /** @type {Promise<T> | undefined} */
  let current;
  return () => (current ??= work().finally(() => {
    current = undefined;
  }));
}

/** Counts the seconds from now on. */
function stopwatch() {
  const began = performance.now();
  return () => (performance.now() - began) / 1000;
}

/** Does not keep the process alive. @param {number} seconds @param {AbortSignal} signal */
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

/** The shortest interval of requests to a feed, however soon it answers. */
const MIN_ROUND_SECONDS = 0.2;
