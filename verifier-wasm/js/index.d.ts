/** A JWK set (RFC 7517). A key that names no `alg` has the one of the issuer's `algorithms` that fits it. */
export interface JsonWebKeySet {
  keys: Array<Record<string, unknown>>;
}

/** The address of a JWK set that needs more than a plain request. */
export interface KeysAddress {
  url: string | URL;
  /** Sent with each request for the set, such as `authorization`. */
  headers?: Record<string, string> | undefined;
}

/** The rules for the tokens of one issuer. */
export interface IssuerOptions {
  /** The exact `iss`. */
  issuer: string;
  /** Which `aud` is accepted; `"unchecked"` for providers whose access tokens have none. */
  audience: string | string[] | "unchecked";
  /** A JWK set, or the address to fetch it from. Redirects are not followed: the set must be at exactly this
   * address, and headers are sent nowhere else. */
  keys: JsonWebKeySet | string | URL | KeysAddress;
  /** Default `["EdDSA", "ES256"]`. One of each kind is best: a published key that names no `alg` is used
   * only if exactly one of these fits it. */
  algorithms?: Algorithm[] | undefined;
  /** The claims that make a token revocable. Default `["exp", "iat", "sub", "jti"]`. An object is
   * `requiredValues` with the default names. */
  requiredClaims?: string[] | Record<string, string | string[]> | undefined;
  /** Claims that must have one of some values: `{ client_id: "x", token_use: "access" }` refuses tokens that
   * the issuer made for other clients. */
  requiredValues?: Record<string, string | string[]> | undefined;
  /** Accepted header types; `null` accepts a token without `typ`. Default `["at+jwt"]`. */
  types?: Array<string | null> | undefined;
  /** The allowed difference of clocks in seconds, at most 300. Default 30. */
  leewaySeconds?: number | undefined;
  /** The longest life of a token in seconds (`exp` - `iat`, or the remaining time without `iat`). Default: a
   * day for the issuer that the feed is named after; for others a week. The horizon that the feed has for an
   * issuer limits its tokens too: a token that could outlive its revocation is refused. */
  maxLifetime?: number | undefined;
  /** How a revoked user's tokens are distinguished from newer ones. Default: by `ver` for the issuer that
   * the feed is named after, by `iat` for every other. */
  userRule?: "version_else_issued_at" | "issued_at" | undefined;
}

// presets.json begins
export interface PresetParameters {
  /** Auth0: Access tokens for a custom API, in the Auth0 or the RFC 9068 profile. */
  "auth0": {
    /** The tenant's domain or a custom one: tenant.eu.auth0.com. */
    domain: string;
    /** The identifier of the API. */
    audience: string | string[];
  };
  /** Authentik: Access tokens of an OAuth2 provider whose issuer mode is the default, one issuer per application. */
  "authentik": {
    /** The address of Authentik. */
    url: string;
    /** The slug of the application. */
    application: string;
    /** The provider's client id. */
    audience: string | string[];
  };
  /** Clerk: Session tokens, version 1 and 2. */
  "clerk": {
    /** The host of the Frontend API: clerk.example.com. */
    domain: string;
    /** The `aud` that a JWT template sets; session tokens have none. Default `unchecked`. */
    audience?: string | string[];
    /** The origins of your applications: `azp` must be one of them. */
    origins?: string | string[];
  };
  /** Cloudflare Access: Application tokens (`Cf-Access-Jwt-Assertion`) of users and of service tokens. */
  "cloudflare-access": {
    /** The team's name: the host is team.cloudflareaccess.com. */
    team: string;
    /** The application's AUD tag. */
    audience: string | string[];
  };
  /** Amazon Cognito, access tokens: Access tokens of a user pool. They have `client_id` and no `aud`. */
  "cognito": {
    /** The region of the pool: eu-central-1. */
    region: string;
    /** The id of the user pool: eu-central-1_AbCdEfGhI. */
    pool: string;
    /** The id of the app client, or several. */
    client: string | string[];
  };
  /** Amazon Cognito, ID tokens: ID tokens of a user pool. */
  "cognito-id": {
    /** The region of the pool: eu-central-1. */
    region: string;
    /** The id of the user pool: eu-central-1_AbCdEfGhI. */
    pool: string;
    /** The id of the app client, or several. */
    client: string | string[];
  };
  /** Microsoft Entra ID, v2.0 tokens: Access tokens for an API whose `requestedAccessTokenVersion` is 2. */
  "entra": {
    /** The tenant's id, not its name. */
    tenant: string;
    /** The client id of the API. */
    audience: string | string[];
    /** The sign-in host of the cloud or of an external tenant. Default `login.microsoftonline.com`. */
    authority?: string;
  };
  /** Microsoft Entra ID, v1.0 tokens: Access tokens for an API whose `requestedAccessTokenVersion` is 1 or not set. */
  "entra-v1": {
    /** The tenant's id, not its name. */
    tenant: string;
    /** The application id URI or the client id of the API, as clients request it. */
    audience: string | string[];
  };
  /** Firebase Authentication: ID tokens, which are what clients of Firebase send to a backend. */
  "firebase": {
    /** The id of the project. */
    project: string;
  };
  /** GitHub Actions: Tokens that a job requests with `id-token: write`. */
  "github-actions": {
    /** The audience that the workflow requests. */
    audience: string | string[];
    /** Another one with a custom issuer of an enterprise, or with GitHub Enterprise Server. Default `https://token.actions.githubusercontent.com`. */
    issuer?: string;
  };
  /** Google: ID tokens of Sign in with Google. Google's access tokens are not JWTs. */
  "google": {
    /** The client id of the application, or several. */
    audience: string | string[];
  };
  /** Ory Hydra: Access tokens with `strategies.access_token: jwt`. */
  "hydra": {
    /** The public address of Hydra. */
    url: string;
    /** The audience that clients request. */
    audience: string | string[];
    /** The exact `urls.self.issuer`, if it ends with a slash or differs from the address. Default `{url}`. */
    issuer?: string;
  };
  /** Keycloak: Access tokens of a realm. */
  "keycloak": {
    /** The address of Keycloak, with its path if it has one: https://sso.example/auth. */
    url: string;
    /** The name of the realm. */
    realm: string;
    /** The audience that an audience mapper adds. */
    audience: string | string[];
  };
  /** Kubernetes: Projected tokens of service accounts. */
  "kubernetes": {
    /** The audience of the projected volume or of the TokenRequest. */
    audience: string | string[];
    /** The exact `--service-account-issuer`. Default `https://kubernetes.default.svc.cluster.local`. */
    issuer?: string;
    /** The `jwks_uri` of the issuer's discovery document. Default `https://kubernetes.default.svc/openid/v1/jwks`. */
    jwks?: string;
  };
  /** Okta: Access tokens of a custom authorization server. Those of the org server are for Okta alone. */
  "okta": {
    /** The org's domain or a custom one: dev-1234.okta.com. */
    domain: string;
    /** The audience of the authorization server. */
    audience: string | string[];
    /** The id of the authorization server. Default `default`. */
    server?: string;
  };
  /** Supabase: Access tokens of Supabase Auth, signed with asymmetric signing keys. */
  "supabase": {
    /** The address of the project: https://ref.supabase.co. */
    url: string;
    /** The `aud` of signed-in users. Default `authenticated`. */
    audience?: string | string[];
  };
  /** WorkOS AuthKit: Access tokens of a session. */
  "workos": {
    /** The client id: client_… */
    client: string;
    /** The `aud` that a JWT template sets; by default tokens have none. Default `unchecked`. */
    audience?: string | string[];
    /** The exact `iss` of your tokens, if it is another: `https://api.workos.com` in environments from before the middle of 2025, or your custom authentication domain. Default `https://api.workos.com/user_management/{client}`. */
    issuer?: string;
  };
  /** Zitadel: Access tokens of applications and service users whose token type is JWT. */
  "zitadel": {
    /** The address of the instance. */
    url: string;
    /** The client id of the application or the id of the project. */
    audience: string | string[];
  };
}
// presets.json ends

export type PresetName = keyof PresetParameters;

/** The options of an issuer from the name of a provider: `issuers: [preset("entra", { tenant, audience })]`. To change
 * one, spread them: `{ ...preset("auth0", { domain, audience }), leewaySeconds: 5 }`. Throws a TypeError with the code
 * `unknown_preset`, or `invalid_preset`, which names every parameter that is wrong. */
export function preset<Name extends PresetName>(name: Name, parameters: PresetParameters[Name]): IssuerOptions;

export type Algorithm =
  | "EdDSA" | "Ed25519" | "ES256" | "ES384" | "ES512"
  | "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512"
  | "HS256" | "HS384" | "HS512";

/** An address of the feed, with the API key that is sent to it. */
export type FeedAddress = string | URL | { url: string | URL; apiKey?: string };

/** What can be read by name: a namespace of Workers KV, a bucket of R2, a Map. It returns bytes, text, an object with
 * `arrayBuffer()`, or null. Nothing that it returns is trusted. */
export interface HeadBinding {
  get(name: string, options?: any): unknown;
}

/** A binding in which the names of a feed begin with a prefix. */
export interface HeadPlace {
  binding: HeadBinding;
  prefix?: string | undefined;
}

/** Which feed is trusted, and how it is followed: at the address of a control plane, by the head that one publishes,
 * by the head while no address answers, or from a file where there is no network. */
export type FeedOptions = FeedRules & FeedPlaces
  & ({ url: {} } | { head: {}; follow?: "poll" | undefined } | { snapshot: {}; follow?: "poll" | undefined });

export interface FeedPlaces {
  /** The feed's address, or several addresses of the same feed: the next is used if one fails or lags. */
  url?: FeedAddress | FeedAddress[] | undefined;
  /** The head of a feed that is published as files: its address or several, or the KV namespace or R2 bucket that
   * has it. It is polled, after the addresses if there are any. */
  head?: FeedAddress | FeedAddress[] | HeadBinding | HeadPlace | undefined;
  /** A file that `offswitch snapshot export` wrote, or a function that reads one: it is called again every
   * `pollSeconds` (default 60 here). No network is needed; `load` takes a newer file at any time. */
  snapshot?: Uint8Array | (() => Uint8Array | Promise<Uint8Array>) | undefined;
}

/** The options of a feed, wherever it is. */
export interface FeedRules {
  /** The feed's id, signed into every snapshot. Default: the issuer. */
  id?: string | undefined;
  /** Ed25519 public keys, base64url; several while the feed's key rotates. */
  publicKeys: string[];
  /** How old the newest statement of the feed may be, in seconds. Default 60. */
  maxStaleness?: number | undefined;
  /** Whether otherwise valid tokens are accepted while the feed is stale. Default `"deny"`. */
  onStale?: "deny" | "allow" | undefined;
  /** Sent as a bearer token to the first address (or head) and others of its origin. An address elsewhere gets a key only
   * if it is given together with that address. */
  apiKey?: string | undefined;
  /** The name under which operators see this follower: 1 to 64 letters, digits or `-_.:/@`. */
  name?: string | undefined;
  /** How `createVerifier` follows the feed in runtimes where timers outlive a request. Default `"stream"`,
   * which polls while no stream arrives in time. Workers poll or long-poll. A head is polled. */
  follow?: "stream" | "long-poll" | "poll" | undefined;
  /** Seconds between two polls. Default 1. */
  pollSeconds?: number | undefined;
  /** Seconds for which a long poll may be held back until there is news, at most 60. Default 20; less if the
   * held state would get too old in the meantime, or if a proxy on the way cuts it off. */
  longPollSeconds?: number | undefined;
  /** The largest snapshot that is read. Default 256 MiB, in Workers and on Vercel's edge 32 MiB. */
  maxBytes?: number | undefined;
  /** Time limit for an answer of the feed, in seconds, except for long polls. Default 30. */
  timeoutSeconds?: number | undefined;
  /** Stores floor and snapshots across restarts. See `offswitch/stores` and `offswitch/file-store`. */
  store?: Store | undefined;
}

/** Where floor and snapshots are stored: one of `offswitch/stores`, or made there by `keep`. */
export interface Store {
  /** For the verifier. */
  readonly keeper: unknown;
}

/** How DPoP proofs (RFC 9449) are checked. */
export interface DpopOptions {
  /** How old a proof may be, in seconds, 1 to 300. Default 60. Each proof is remembered for that long, in this
   * process or isolate. */
  maxAgeSeconds?: number | undefined;
  /** The origin, and the path if there is one, at which clients see the service: `https://api.example`. Without
   * it the middlewares use the URL that the runtime shows, in Node with the client's own `Host`. */
  publicUrl?: string | URL | undefined;
}

/** A request whose token was sent with the scheme `DPoP`. */
export interface DpopRequest {
  /** Its only `DPoP` header. */
  proof: string;
  method: string;
  /** The URL that the client has requested; query and fragment do not count. */
  url: string;
}

export interface SharedOptions {
  /** Further issuers, or all of them. */
  issuers?: IssuerOptions[] | undefined;
  feed: FeedOptions;
  /** How many tokens with a valid signature are remembered. Default 10,000; 0 for none. */
  rememberedTokens?: number | undefined;
  /** Gets every snapshot and every failure, for metrics. Without it each kind of failure is written to the
   * console once. */
  onEvent?: ((event: VerifierEvent) => void) | undefined;
  /** The rules for DPoP proofs. */
  dpop?: DpopOptions | undefined;
  /** The wasm file, if a bundler loses it: a module, bytes, a Response or a URL. */
  wasm?: unknown;
  /** Unix seconds; read for every verdict. */
  clock?: (() => number) | undefined;
}

export type VerifierOptions =
  | (SharedOptions & IssuerOptions)
  | (SharedOptions & { issuers: IssuerOptions[] });

/** The evidence of a verdict. */
export interface Evidence {
  /** `era.seq`, or null before the first base. */
  position: string | null;
  ageSeconds: number | null;
}

/** A plain object, frozen in depth: all verdicts on one token share it. Integers beyond 2^53 are
 * `bigint`, so that none is altered; `claimsJson` has the text as it was signed. */
export interface Claims {
  readonly iss: string;
  readonly sub?: string;
  readonly aud?: string | readonly string[];
  readonly exp: number;
  readonly iat?: number;
  readonly nbf?: number;
  readonly jti?: string;
  readonly sid?: string;
  readonly ver?: number;
  readonly scope?: string | readonly string[];
  readonly scp?: string | readonly string[];
  readonly [name: string]: unknown;
}

export type RefusalCode =
  | "missing_token" | "malformed" | "unsupported_algorithm" | "unknown_key" | "bad_signature" | "expired"
  | "not_yet_valid" | "lifetime_too_long"
  | "wrong_issuer" | "wrong_audience" | "wrong_type" | "wrong_claim" | "missing_claim"
  | "revoked_token" | "revoked_session" | "revoked_user" | "revoked_claims" | "revoked_key"
  | "revoked_epoch" | "sender_constrained" | "unbound_token" | "invalid_dpop_proof";

export type UndecidedCode =
  | "no_snapshot" | "stale_snapshot" | "clock_skew" | "feed_fork" | "no_keys" | "keys_unavailable"
  | "replay_memory_full" | "verifier_failed";

export type Verdict =
  | { outcome: "valid"; code: "valid"; claims: Claims; claimsJson: string; detail?: undefined; evidence: Evidence }
  | { outcome: "refused"; code: RefusalCode; claims?: undefined; claimsJson?: undefined; detail: string; evidence: Evidence }
  | { outcome: "undecided"; code: UndecidedCode; claims?: undefined; claimsJson?: undefined; detail: string; evidence: Evidence };

/** The result of one check. */
export interface Step {
  check:
    | "format" | "algorithm" | "key" | "signature" | "claims" | "type" | "issuer" | "audience"
    | "required_claims" | "expiry" | "start" | "revoked_key" | "epoch" | "token" | "session" | "user"
    | "selectors" | "binding" | "freshness";
  /** `"not_reached"` if an earlier check has already failed so that this one could not run. */
  result: "passed" | "refused" | "undecided" | "not_reached";
  code?: RefusalCode | UndecidedCode;
  detail?: string;
  /** The position by which it was revoked at the latest. */
  position?: string;
}

/** Overrides of the configuration for a single verdict. */
export interface Policy {
  /** How old the feed may be, in seconds, 1 to 86400; with an older one every token is undecided. */
  maxStaleness?: number | undefined;
  /** `"allow"` accepts what a snapshot of any age does not revoke. */
  onStale?: "deny" | "allow" | undefined;
}

/** How a token was sent. Without `dpop` it is a bearer token, and refused if it is bound to a key. */
export interface Shown {
  /** The request with its proof, if the scheme is `DPoP`. A proof is accepted once. `"proved"` for a token that
   * was sent before and belongs to something that is still open, such as a WebSocket. */
  dpop?: DpopRequest | "proved" | undefined;
}

/** What a route requires. `Handed` are the arguments that the framework passes to the route's handler. */
export interface RoutePolicy<Handed extends unknown[] = unknown[]> extends Policy {
  /** Scopes that the token must have, all of them, in `scope` or `scp`. */
  scopes?: string[] | undefined;
  /** Answers instead of a 503 when nothing can be decided. The 503 stays if it returns nothing; with Express it
   * has to answer or to call `next`. */
  onUndecided?(verdict: Extract<Verdict, { outcome: "undecided" }>, ...request: Handed): unknown;
  /** Seconds over which `Retry-After` spreads the clients' refreshes after a red button. Default 10. */
  retryJitterSeconds?: number | undefined;
}

export type ApplyResult =
  | { applied: "extended" | "ignored" | "refreshed" | "replaced" }
  | { error: string; detail: string; needsBase: boolean };

export type RoundResult =
  | (ApplyResult & { wantsPoll?: boolean })
  | { skipped: true }
  | { error: string; detail: string };

export type VerifierEvent =
  | ({ type: "snapshot"; bytes: number } & ApplyResult & Evidence)
  | { type: "failure"; error: string; detail: string };

export interface FeedStatus {
  /** The address that is tried next. */
  url: string;
  /** Unix seconds. */
  lastRoundAt: number | null;
  rounds: number;
  failures: number;
  lastFailure: { at: number; url: string; error: string; detail: string } | null;
  /** Since when an address serves less than the verifier holds (`feed_behind`), unix seconds. */
  behindSince: number | null;
  /** How late the stream's last event was; null without a stream. */
  streamLatenessSeconds: number | null;
}

export interface KeysStatus {
  issuer: string;
  ready: boolean;
  /** Unix seconds; null for keys from the options. */
  fetchedAt: number | null;
  /** Why the last fetch failed, or returned no usable key. */
  problem: string | null;
  /** Keys of the fetched set that were left out, each with the reason. */
  dropped: string[];
}

export interface Status extends Evidence {
  ready: boolean;
  /** How the feed is followed now: `"poll"` also if a stream is configured and none arrives in time. `null` if
   * nothing follows it. */
  following: "stream" | "long-poll" | "poll" | "requests" | null;
  feed: FeedStatus;
  keys: KeysStatus[];
  /** How many tokens `onRevoked` watches. */
  watched: number;
  instance: {
    /** How often it trapped and was replaced. */
    replaced: number;
    memoryBytes: number;
  };
}

export interface WatchOptions {
  /** Runs each time that the feed has become too old for a verdict on the token. */
  onUndecided?: (verdict: Extract<Verdict, { outcome: "undecided" }>) => void;
}

export interface RequestOptions {
  signal?: AbortSignal | undefined;
  timeoutSeconds?: number | undefined;
  /** For platforms that end a request's work with its answer: lets a fetch of keys continue. */
  waitUntil?: ((work: Promise<unknown>) => void) | undefined;
}

export class Verifier {
  /** Does no I/O. Throws a TypeError with the code `invalid_options` that names every problem. */
  constructor(options: VerifierOptions);
  /** Only with wasm. A value that is not a token is refused, without an exception. */
  verifySync(token: unknown, policy?: Policy & Shown): Verdict;
  /** With the fastest way to check the signature in this runtime. For an unknown key it waits while the
   * issuer's key set is fetched. A value that is not a token is refused, without an exception. */
  verify(token: unknown, options?: Policy & Shown & RequestOptions): Promise<Verdict>;
  /** The result of every check, in the order in which a verdict makes them: for people, not for requests. It
   * does not use up a proof. */
  explain(token: unknown, options?: Shown): Step[];
  /** Calls back once, when the token is revoked or has expired; returns a function that stops watching. In
   * Workers the callback may run during another request, which cannot close a connection of this one: there, judge
   * the token again with a timer of the request that opened it, as the edge worker does. */
  onRevoked(
    token: unknown,
    callback: (verdict: Extract<Verdict, { outcome: "refused" }>) => void,
    options?: WatchOptions,
  ): () => void;
  /** Applies one signed snapshot from any source. */
  apply(bytes: Uint8Array): ApplyResult;
  /** Reads a file that `offswitch snapshot export` wrote, where there is no network. All in it is checked like an answer
   * of the feed, and an older file changes nothing (`ignored`). Failures are returned, not thrown. */
  load(bytes: Uint8Array): Promise<RoundResult>;
  /** The position from which to request more of the feed. */
  since(): string | undefined;
  /** One round of the feed; also fetches the keys if they are old. If it answers `replaced`, the base may lack the
   * newest revocations: the next round brings them. `createVerifier` and the middlewares do both. */
  refresh(options?: RequestOptions & { waitSeconds?: number }): Promise<RoundResult>;
  /** Follows the feed after a request's answer, if nothing else outlives the answer. Without `waitUntil` the
   * request waits for the poll that this may return. */
  followLater(waitUntil?: (work: Promise<unknown>) => void): Promise<unknown> | undefined;
  refreshKeys(olderThanSeconds?: number, options?: RequestOptions): Promise<boolean>;
  status(): Status;
  readonly isReady: boolean;
  onClose(stop: () => void): void;
  close(): void;
}

/** Loads wasm if that needs to be awaited; `createVerifier` calls it. */
export function load(wasm?: unknown): Promise<void>;

/** Loads wasm, keys and the base; in long-lived runtimes it then follows the feed. */
export function createVerifier(options: VerifierOptions): Promise<Verifier>;

/** The verifier's report on a JWK set. */
export interface KeySetReport {
  /** The places, in the set, of the keys that it uses. */
  keys: number[];
  /** The keys that it leaves out, each with the reason. */
  dropped: string[];
  /** Why it can use none of them; absent if it can. */
  problem?: string;
}

/** Reads a JWK set, or a single JWK, like the option `keys`. A set that an issuer published (`isFetched`) may
 * not have secrets. `algorithms` are those of the issuer: a key without `alg` is used if exactly one of them
 * fits it. */
export function readKeySet(jwks: string, isFetched: boolean, algorithms?: Algorithm[]): KeySetReport;

/** The JWS layer alone: the payload if one of the keys signed `token`. */
export function verifyJws(jwks: string, token: string): Uint8Array | undefined;

/** The signature layer alone. */
export function verifySignature(jwk: string, message: Uint8Array, signature: Uint8Array): boolean;
