/** A JWK set (RFC 7517); every key names its `alg`. */
export interface JsonWebKeySet {
  keys: Array<Record<string, unknown>>;
}

/** The rules for the tokens of one issuer. */
export interface IssuerOptions {
  /** The exact `iss`. */
  issuer: string;
  /** Which `aud` is accepted; `"unchecked"` for providers whose access tokens carry none. */
  audience: string | string[] | "unchecked";
  /** A JWK set, or the URL of one. */
  keys: JsonWebKeySet | string;
  /** Default `["EdDSA", "ES256"]`. */
  algorithms?: Algorithm[];
  /** The claims that make a token revocable. Default `["exp", "iat", "sub", "jti"]`. */
  requiredClaims?: string[];
  /** Accepted header types; `null` accepts a token without `typ`. Default `["at+jwt"]`. */
  types?: Array<string | null>;
  /** How far clocks may differ, at most 300. Default 30. */
  leewaySeconds?: number;
  /** How a revoked user's tokens are told from newer ones. Default: by `ver` for the issuer that the
   * feed is named after, by `iat` for every other. */
  userRule?: "version_else_issued_at" | "issued_at";
}

export type Algorithm =
  | "EdDSA" | "Ed25519" | "ES256"
  | "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512"
  | "HS256" | "HS384" | "HS512";

/** What is trusted of a feed, and how it is followed. */
export interface FeedOptions {
  url: string;
  /** The feed's id, signed into every snapshot. Default: the issuer. */
  id?: string;
  /** Ed25519 public keys, base64url; several while the feed's key rotates. */
  publicKeys: string[];
  /** How old the newest statement of the feed may be, in seconds. Default 60. */
  maxStaleness?: number;
  /** What a stale feed means for tokens that are otherwise good. Default `"deny"`. */
  onStale?: "deny" | "allow";
  /** Sent as a bearer token. */
  apiKey?: string;
  /** Seconds between two polls. Default 1. */
  pollSeconds?: number;
  /** Seconds that the feed may hold a request back until there is news; 0 for plain polling. */
  longPoll?: number;
  /** The largest snapshot that is read. Default 256 MiB. */
  maxBytes?: number;
  /** How long one answer of the feed may take, without `longPoll`. Default 30. */
  timeoutSeconds?: number;
}

export interface SharedOptions {
  /** Further issuers, or all of them. */
  issuers?: IssuerOptions[];
  feed: FeedOptions;
  /** The wasm file, where a bundler loses it: a module, bytes, a Response or a URL. */
  wasm?: unknown;
  /** Unix seconds; read anew for every verdict. */
  clock?: () => number;
}

export type VerifierOptions =
  | (SharedOptions & IssuerOptions)
  | (SharedOptions & { issuers: IssuerOptions[] });

/** What a verdict was based on. */
export interface Evidence {
  /** `era.seq`, or null before the first base. */
  position: string | null;
  age_seconds: number | null;
}

export interface Claims {
  iss: string;
  sub?: string;
  aud?: string | string[];
  exp: number;
  iat?: number;
  nbf?: number;
  jti?: string;
  sid?: string;
  ver?: number;
  [name: string]: unknown;
}

export type RefusalCode =
  | "malformed" | "unsupported_algorithm" | "unknown_key" | "bad_signature" | "expired"
  | "not_yet_valid" | "wrong_issuer" | "wrong_audience" | "wrong_type" | "missing_claim"
  | "revoked_token" | "revoked_session" | "revoked_user" | "revoked_key" | "revoked_epoch";

export type UndecidedCode =
  | "no_snapshot" | "stale_snapshot" | "feed_fork" | "no_keys" | "verifier_failed";

export type Verdict =
  | { outcome: "valid"; code: "valid"; claims: Claims; evidence: Evidence }
  | { outcome: "refused"; code: RefusalCode; detail: string; evidence: Evidence }
  | { outcome: "undecided"; code: UndecidedCode; detail: string; evidence: Evidence };

export type ApplyResult =
  | { applied: "extended" | "ignored" | "refreshed" | "replaced" }
  | { error: string; detail: string; needsBase: boolean };

export type RoundResult = ApplyResult | { skipped: true } | { error: string; detail: string };

export interface RequestOptions {
  signal?: AbortSignal;
  timeoutSeconds?: number;
}

export class Verifier {
  /** Does no I/O. Throws a TypeError that names every problem. */
  constructor(options: VerifierOptions);
  verifySync(token: string): Verdict;
  verify(token: string, options?: RequestOptions): Promise<Verdict>;
  apply(bytes: Uint8Array): ApplyResult;
  since(): string | undefined;
  refresh(options?: RequestOptions & { waitSeconds?: number }): Promise<RoundResult>;
  refreshKeys(olderThanSeconds?: number, options?: RequestOptions): Promise<boolean>;
  readonly isReady: boolean;
  readonly lastRoundAt: number;
  /** Bytes of the wasm instance, which all verifiers share. */
  readonly memoryBytes: number;
  readonly pollSeconds: number;
  readonly longPollSeconds: number;
  onClose(stop: () => void): void;
  close(): void;
}

/** Brings wasm to life where a runtime does not by itself; `createVerifier` calls it. */
export function load(wasm?: unknown): Promise<void>;

/** Loads wasm, keys and the base; in long-lived runtimes it then follows the feed. */
export function createVerifier(options: VerifierOptions): Promise<Verifier>;

/** The JWS layer alone: the payload if one of the keys signed `token`. */
export function verifyJws(jwks: string, token: string): Uint8Array | undefined;

/** The signature layer alone. */
export function verifySignature(jwk: string, message: Uint8Array, signature: Uint8Array): boolean;
