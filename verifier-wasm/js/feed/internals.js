// The interface of a verifier for the package's own parts. Not part of the API.

/**
 * @typedef {{ later(waitUntil?: (work: Promise<unknown>) => void): Promise<unknown> | undefined }} LaterFollower
 *
 * @typedef {object} Internals
 * @property {import("./client.js").FeedClient} feed
 * @property {(options?: import("../index.d.ts").RequestOptions & { waitSeconds?: number }) => Promise<import("../index.d.ts").RoundResult>} refresh
 * @property {(token: string, policy?: import("../index.d.ts").Policy & import("../index.d.ts").Shown) => import("../index.d.ts").Verdict | undefined} recall
 *   the verdict on a token that is remembered
 * @property {(verdict: import("../index.d.ts").Verdict) => Internals | undefined} [of] of several verifiers, those of
 *   the one that has made this undecided verdict
 * @property {(catchUp: () => void) => void} onBehind runs `catchUp` when a token shows that the feed has gone
 *   on beyond what is held, at most once in the time of two polls
 * @property {import("../engine/host.js").Hosts} hosts what checks signatures in place of wasm
 * @property {(make: (internals: Internals) => LaterFollower) => void} followBy has the feed followed by
 *   requests where nothing else follows it
 * @property {() => void} onEvent runs after each snapshot of a stream
 * @property {string} [publicUrl] at which clients see the service; middlewares check DPoP proofs by it
 * @property {(event: import("../index.d.ts").VerifierEvent) => void} report
 */

/** Shared by all copies of the package that a program has loaded. */
export const INTERNALS = Symbol.for("offswitch.internals");

/**
 * One round of the feed before a verdict. A base may lack the newest revocations: what came after it is asked for too.
 *
 * @param {Internals} internals @param {import("../index.d.ts").RequestOptions} options
 */
export async function begin(internals, options) {
  const { applied } = /** @type {{ applied?: string }} */ (await internals.refresh(options));
  if (applied === "replaced") await internals.refresh(options);
}
