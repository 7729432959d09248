// The answers of the control plane, with the names of its API (see /docs). A test compares them with
// /openapi.json.

/** How the process that serves this page is. */
export interface Readiness {
  ready: boolean;
  position: string;
  store_reachable?: boolean;
  findings?: Finding[];
}

/** What any API key may read about itself and the control plane. */
export interface Status {
  key: { id: string; name: string; scopes: string[]; expires_at: number | null };
  version: string;
  durability: string | null;
  issuer: string;
  /** The registered issuers, whose tokens can be revoked too. */
  issuers: { name: string; issuer: string; receivers?: ReceiverState[] }[];
  /** The relying parties that are notified of ended sessions. */
  relying_parties?: RelyingParty[];
}

/** A registered relying party, and the state of its notices. Times are unix seconds. */
export interface RelyingParty {
  name: string;
  audience: string;
  backchannel_logout_uri?: string | null;
  backchannel_logout_session_required?: boolean | null;
  endpoint_url?: string | null;
  created_at: number;
  delivered: number;
  refused: number;
  given_up: number;
  delivered_at?: number | null;
  last_error?: NoticeFailure | null;
  /** When the session ended whose notice waits for longest. */
  waiting_since?: number | null;
}

export interface NoticeFailure {
  at: number;
  code: string;
  detail: string;
}

export interface RelyingPartyList {
  relying_parties: RelyingParty[];
}

/** The followers of one process. */
export interface FollowerList {
  /** The end of the log. */
  position: string;
  live: number;
  holding: number;
  unidentified: number;
  counted: string;
  followers: Follower[];
}

/** A follower that may still decide. */
export interface Follower {
  name?: string | null;
  /** The beginning of its id. */
  follower: string;
  /** The id of its API key. */
  key: string;
  software: string;
  position?: string | null;
  sent?: string | null;
  connected: boolean;
  seen_seconds_ago: number;
  refuses_in_seconds?: number | null;
  behind?: Behind | null;
}

/** What a relay reported last about those behind it. */
export interface Behind {
  followers: number;
  holding: number;
  unidentified: number;
  refuse_within_seconds?: number | null;
}

/** What one process has seen of a receiver since it started. Times are unix seconds. */
export interface ReceiverState {
  receiver: string;
  accepted: number;
  /** Acknowledged, and nothing to revoke. */
  ignored: number;
  failed: number;
  accepted_at?: number | null;
  last_error?: ReceiverFailure | null;
  stream?: StreamState | null;
  polling?: PollingState | null;
}

/** What is known about a stream of events. Times are unix seconds. */
export interface StreamState {
  /** `enabled`, `paused` or `disabled`, as the transmitter said last. */
  status?: string | null;
  /** When that was heard first. */
  at?: number | null;
  verified_at?: number | null;
  /** When a verification event was asked for last. */
  asked_at?: number | null;
  id?: string | null;
  checked_at?: number | null;
  /** Those that the transmitter sends. */
  events?: string[];
  error?: ReceiverFailure | null;
}

/** How polling for events goes. */
export interface PollingState {
  answered_at?: number | null;
  error?: ReceiverFailure | null;
}

export interface ReceiverFailure {
  at: number;
  code: string;
  detail: string;
}

/** Which events of an issuer are accepted. */
export interface Receivers {
  backchannel_logout?: BackchannelLogout | null;
  events?: EventReceiver | null;
  webhook?: Webhook | null;
  global_token_revocation?: GlobalRevocation | null;
}

export interface GlobalRevocation {
  audiences?: string[];
  issuer?: string | null;
  jwks_uri?: string | null;
  subject_claims?: Record<string, string>;
}

export interface Webhook {
  preset?: string | null;
  /** `standard`, or an object that says more. */
  signature?: string | object | null;
  events_pointer?: string | null;
  type_pointers?: string[];
  time_pointer?: string | null;
  challenge_header?: string | null;
  /** By the type of the event. */
  events?: Record<string, object>;
}

export interface EventReceiver {
  audiences: string[];
  issuer?: string | null;
  jwks_uri?: string | null;
  /** By the URI of the event: `ignore`, `session` or `user`. */
  actions?: Record<string, string>;
  subject_claims?: Record<string, string>;
  poll?: Poll | null;
  stream?: EventStream | null;
}

export interface Poll {
  endpoint: string;
}

export interface EventStream {
  transmitter: string;
  /** Without it events are polled. */
  push_to?: string | null;
  subjects?: Record<string, string>[];
}

export interface BackchannelLogout {
  client_ids: string[];
  /** `session` or `user`. */
  revokes?: string;
}

/** What `POST /v1/doctor` found. */
export interface Examined {
  /** What all checks say together: `ok`, `warning`, `failed` or `skipped`. */
  result: string;
  checks: Check[];
}

/** What came of one check. */
export interface Check {
  check: string;
  /** The name of an issuer, or of a receiver. */
  subject?: string | null;
  result: string;
  detail: string;
}

/** Something about the store that an operator should know. */
export interface Finding {
  code: string;
  detail: string;
  fatal: boolean;
}

/** A revocation was recorded: verifiers at `position` or beyond refuse. */
export interface Accepted {
  position: string;
  durability: string;
  repeated: boolean;
  sessions_ended?: number | null;
  /** Until when it stays in the feed; absent for what is permanent and for several entries. */
  until?: number | null;
  /** The claims by which verifiers look it up. */
  selector?: string[] | null;
}

/** An active session: one device of a user. Times are unix seconds. */
export interface Session {
  session_id: string;
  device: string | null;
  user_agent: string | null;
  ip: string | null;
  client_id: string;
  scope: string | null;
  opened_at: number;
  last_used_at: number;
  refreshes: number;
  expires_at: number;
}

/** A session just opened. */
export interface Tokens {
  session_id: string;
  access_token: string;
  refresh_token: string;
  expires_at: number;
  session_expires_at: number;
  jti: string;
}

export interface SigningKeys {
  token_keys: SigningKey[];
  feed_public_keys: string[];
  /** Oldest first. */
  feed_keys: FeedKey[];
}

/** A key that signs snapshots of the feed: `current`, or `overlapping` until it is dropped. */
export interface FeedKey {
  id: string;
  public_key: string;
  created_at: number;
  state: string;
}

export interface NewFeedKey extends FeedKey {
  repeated: boolean;
}

export interface DroppedFeedKey {
  id: string;
  dropped: boolean;
}

/** An API key without its secret. */
export interface ApiKey {
  id: string;
  name: string;
  scopes: string[];
  created_at: number;
  expires_at: number | null;
  expired: boolean;
}

export interface ApiKeyList {
  api_keys: ApiKey[];
}

/** The only answer with the secret of a key. */
export interface NewApiKey extends ApiKey {
  key: string;
}

/** An issuer whose tokens can be revoked. */
export interface Issuer {
  name: string;
  /** The exact `iss` of its tokens. */
  issuer: string;
  discovery_uri?: string | null;
  jwks_uri?: string | null;
  algorithms: string[];
  horizon_seconds: number;
  clock_skew_seconds: number;
  token_id_claim: string;
  session_id_claim: string;
  user_id_claim: string;
  /** The configured ones. */
  selectors: string[][];
  /** Those that verifiers look up now. */
  selectors_in_use: string[][];
  /** 0 if its red button was never pressed. */
  epoch: number;
  receivers: Receivers;
  /** As the process that answers has seen them. */
  receiver_status: ReceiverState[];
}

export interface IssuerList {
  issuers: Issuer[];
}

/** An issuer as it was registered, changed or removed. */
export interface IssuerChanged extends Issuer {
  position: string;
  durability: string;
}

export interface SigningKey {
  kid: string;
  alg: string;
  created_at: number;
  /** `pending`, `active`, `verifying` or `dead`. */
  state: string;
  signs_from: number;
  retires_at: number | null;
}

export interface NewKey {
  kid: string;
  alg: string;
  signs_from: number;
  repeated: boolean;
}

/** What the red button did, or would do. */
export interface Pressed {
  dry_run: boolean;
  dead_kids: string[];
  epoch: number;
  sessions: string;
  reach: { users: number; sessions: number; keys: number; tokens: number } | null;
  active_kid: string | null;
  position: string | null;
  durability: string | null;
}

/** A page of the log, newest first; older requests are before the seq `next`. */
export interface LogPage {
  requests: LogRequest[];
  next: number | null;
}

export interface LogRequest {
  position: string;
  at: number;
  /** The id of the API key that sent the request, `holder` or `offswitch`. */
  by: string;
  reason: string | null;
  count: number;
  /** The first 100. */
  revocations: LogEntry[];
}

export interface LogEntry {
  kind: string;
  [field: string]: unknown;
}
