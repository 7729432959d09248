import type { Status, Verifier } from "offswitch";

/** The status of several verifiers: `position`, `ageSeconds`, `following` and `feed` are those of the feed that was
 * heard of the longest ago. */
export interface CombinedStatus extends Status {
  /** Of each verifier, in the order in which they were given. */
  feeds: Status[];
}

/** Judges like one verifier, over the feeds of several. */
export interface CombinedVerifier extends Verifier {
  status(): CombinedStatus;
  /** Undefined: each feed has its own position. */
  since(): undefined;
}

/** Makes one verifier of several: each follows its own feed, for its own issuers, with its own options. The key that
 * fits a token names the issuer, and the issuer has its feed: if a feed is stale, the tokens of its issuers are
 * undecided, and no others. `close` closes all of them.
 *
 * Throws a TypeError with the code `invalid_options` if two of them have the same issuer. */
export function combine(verifiers: Verifier[]): CombinedVerifier;
