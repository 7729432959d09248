import type { FeedOptions, IssuerOptions, JsonWebKeySet, SharedOptions, Verifier } from "offswitch";

/** The value of a claim in a revocation; the type matters. */
export type ClaimValue = string | number | bigint | boolean;

/** The issuer whose tokens are revoked: by default the test issuer, or one of the option `issuers` of a verifier. */
interface OfIssuer {
  issuer?: string | undefined;
}

/** A revocation: exactly one of these. */
export type TestRevocation =
  | { token: string }
  | ({ jti: string } & OfIssuer)
  | ({ sessionId: string } & OfIssuer)
  | ({ kid: string } & OfIssuer)
  /** Tokens issued so far; `issuedBefore` (unix seconds) is for users of other issuers. */
  | ({ sub: string; issuedBefore?: number | undefined } & OfIssuer)
  /** Tokens that have all of these claims, one to four, and were issued before `issuedBefore` (unix seconds): by
   * default those issued so far. A name that begins with `/` is a JSON Pointer: `/act/sub`. */
  | ({ claims: Record<string, ClaimValue>; issuedBefore?: number | undefined } & OfIssuer);

/** The options of `createVerifier` that the test issuer does not set itself. */
export interface TestVerifierOptions
  extends Partial<Omit<IssuerOptions, "issuer" | "audience" | "keys">>,
    Pick<SharedOptions, "issuers" | "rememberedTokens" | "onEvent"> {
  /** `maxStaleness` is a day by default. */
  feed?: Pick<FeedOptions, "maxStaleness" | "onStale"> | undefined;
}

/** Signs tokens, and the feed of their revocations. */
export interface TestIssuer {
  readonly issuer: string;
  readonly audience: string;
  readonly jwks: JsonWebKeySet;
  /** The real verifier, which has all earlier revocations and gets every later one. */
  createVerifier(options?: TestVerifierOptions): Promise<Verifier>;
  /** A verifier without a snapshot: its verdicts on good tokens are undecided (503). */
  createUndecidedVerifier(options?: TestVerifierOptions): Verifier;
  /** Signs an access token that is valid for ten minutes; `claims` and `header` replace its defaults. */
  token(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  /** Revokes; once it has returned, every verifier of this issuer refuses. For claims, and with the red button,
   * the clock moves to the next second, so that the next token is valid. */
  revoke(what: TestRevocation): Promise<{ position: string }>;
  /** Revokes every token that exists. */
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
