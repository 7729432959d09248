// What stays open after its request was let through: WebSockets, and answers that are still on their
// way. Each is judged again and again, and ended once its token is not good any more.

/**
 * @typedef {import("../index.d.ts").Verdict} Verdict
 */

/**
 * Calls `end` once: when the token is refused (revoked, expired), or when it was undecided for longer
 * than the grace.
 *
 * The timer belongs to the request that opened the connection: in Workers a callback of another
 * request could not touch it. It also follows the feed, since no other request may come meanwhile.
 *
 * @param {import("../verifier.js").Verifier} verifier @param {string} token
 * @param {(verdict: Verdict) => void} end
 * @returns {() => void} stops watching
 */
export function watch(verifier, token, end) {
  let undecidedSince = Infinity;
  const look = () => {
    const now = performance.now();
    verifier.followLater((work) => void work.catch(() => {}));
    const verdict = verifier.verifySync(token);
    undecidedSince = verdict.outcome === "undecided" ? Math.min(undecidedSince, now) : Infinity;
    if (verdict.outcome === "refused" || now - undecidedSince >= GRACE_MS) return end(verdict);
    timer = setTimeout(look, LOOK_MS);
  };
  let timer = setTimeout(look, LOOK_MS);
  return () => clearTimeout(timer);
}

const LOOK_MS = 1_000;
/** How long a connection goes on undecided. What is stale was good for the configured time already;
 * this spares the reconnects of a feed that is late by a moment. */
const GRACE_MS = 5_000;
