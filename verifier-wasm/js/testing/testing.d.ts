import type { FeedOptions, IssuerOptions, JsonWebKeySet, SharedOptions, Verifier } from "offswitch";

/** What is revoked: exactly one of these. */
export type TestRevocation =
  | { token: string }
  | { jti: string }
  | { sessionId: string }
  | { sub: string }
  | { kid: string };

/** The options of `createVerifier` that are not the test issuer's own. */
export interface TestVerifierOptions
  extends Partial<Omit<IssuerOptions, "issuer" | "audience" | "keys">>,
    Pick<SharedOptions, "rememberedTokens" | "onEvent"> {
  /** `maxStaleness` is a day by default. */
  feed?: Pick<FeedOptions, "maxStaleness" | "onStale"> | undefined;
}

/** Signs tokens, and the feed of what was revoked of them. */
export interface TestIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly jwks: JsonWebKeySet;
  /** The real verifier, which holds everything that was revoked before and hears of every revocation. */
  createVerifier(options?: TestVerifierOptions): Promise<Verifier>;
  /** A verifier that has no snapshot: its verdicts on good tokens are undecided (503). */
  createUndecidedVerifier(options?: TestVerifierOptions): Verifier;
  /** Signs an access token that is good for ten minutes; `claims` and `header` replace its defaults. */
  token(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  /** Revokes; once it has returned, every verifier of this issuer refuses. */
  revoke(what: TestRevocation): Promise<{ position: string }>;
  /** Revokes every token that there is. */
  redButton(): Promise<{ position: string }>;
  /** Moves the clock of the issuer and of its verifiers. */
  advance(seconds: number): Promise<void>;
}

/** Keys, tokens, a feed and revocations in memory: no network, no control plane. */
export function createTestIssuer(options?: {
  /** Default `"https://issuer.test"`. */
  issuer?: string | undefined;
  /** Default `"test"`. */
  audience?: string | undefined;
}): Promise<TestIssuer>;
