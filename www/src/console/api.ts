// The requests of the console, each with the scope that the API key needs for it.

import type {
  Accepted, ApiKey, ApiKeyList, DroppedFeedKey, Examined, FollowerList, IssuerChanged, IssuerList, LogPage,
  NewApiKey, NewFeedKey, NewKey, Pressed, Readiness, RelyingPartyList, Session, SigningKeys, Status,
  Tokens,
} from "../shared/answers";
import { sizeBytes } from "../shared/format";
import {
  ask, askReadiness, hasList, hasText, isObject, type Answer, type Call, type Problem,
} from "../shared/request";

/** Sends requests to the control plane with one API key. */
export class ControlPlane {
  readonly #apiKey: string | null;
  readonly #learn: Learn;

  /** `learn` gets what each answer shows about the key's scopes. */
  constructor(apiKey: string | null, learn: Learn) {
    this.#apiKey = apiKey;
    this.#learn = learn;
  }

  get hasKey(): boolean {
    return this.#apiKey !== null;
  }

  /** A document without a position is not that of a control plane. */
  readiness() {
    const isRight = (value: unknown) =>
      isObject(value) && typeof value["ready"] === "boolean" && hasText("position")(value)
      && (value["findings"] === undefined || Array.isArray(value["findings"]));
    return askReadiness<Readiness>(isRight);
  }

  metrics(): Promise<Answer<string>> {
    const isRight = (value: unknown) => typeof value === "string";
    return this.#call("metrics:read", "/metrics", { isText: true, isRight });
  }

  keys(): Promise<Answer<SigningKeys>> {
    const isRight = (value: unknown) =>
      hasList("token_keys")(value) && hasList("feed_keys")(value);
    return this.#call("keys:read", "/v1/keys", { isRight });
  }

  rotateKey(): Promise<Answer<NewKey>> {
    const call = { method: "POST", body: "{}", isRight: hasText("kid") } as const;
    return this.#call("keys:write", "/v1/keys/rotate", call);
  }

  addFeedKey(idempotencyKey: string): Promise<Answer<NewFeedKey>> {
    const call = { method: "POST", idempotencyKey, isRight: hasText("public_key") } as const;
    return this.#call("keys:write", "/v1/feed-keys/rotate", call);
  }

  dropFeedKey(id: string): Promise<Answer<DroppedFeedKey>> {
    const call = { method: "POST", isRight: hasText("id") } as const;
    return this.#call("keys:write", `/v1/feed-keys/${escaped(id)}/drop`, call);
  }

  apiKeys(): Promise<Answer<ApiKeyList>> {
    return this.#call("api-keys:write", API_KEYS, { isRight: hasList("api_keys") });
  }

  createApiKey(body: string): Promise<Answer<NewApiKey>> {
    return this.#call("api-keys:write", API_KEYS, { method: "POST", body, isRight: hasText("key") });
  }

  revokeApiKey(id: string): Promise<Answer<ApiKey>> {
    const call = { method: "DELETE", isRight: hasText("id") } as const;
    return this.#call("api-keys:write", `${API_KEYS}/${escaped(id)}`, call);
  }

  /** Any API key may list them. */
  issuers(): Promise<Answer<IssuerList>> {
    return ask(ISSUERS, { apiKey: this.#apiKey, isRight: hasList("issuers") });
  }

  putIssuer(name: string, body: string, idempotencyKey: string): Promise<Answer<IssuerChanged>> {
    const call = { method: "PUT", body, idempotencyKey, isRight: hasText("position") } as const;
    return this.#call("issuers:write", `${ISSUERS}/${escaped(name)}`, call);
  }

  deleteIssuer(name: string, idempotencyKey: string): Promise<Answer<IssuerChanged>> {
    const call = { method: "DELETE", idempotencyKey, isRight: hasText("position") } as const;
    return this.#call("issuers:write", `${ISSUERS}/${escaped(name)}`, call);
  }

  /** Any API key may list them. */
  relyingParties(): Promise<Answer<RelyingPartyList>> {
    return ask(RELYING_PARTIES, { apiKey: this.#apiKey, isRight: hasList("relying_parties") });
  }

  /** Asks those that follow a stream first, for a second at most. */
  followers(): Promise<Answer<FollowerList>> {
    return this.#call("followers:read", "/v1/followers?wait=applied&timeout=1", { isRight: hasList("followers") });
  }

  /** Takes up to 50 s. */
  examine(issuer: string): Promise<Answer<Examined>> {
    const body = JSON.stringify({ issuer });
    const isRight = (value: unknown) => hasText("result")(value) && hasList("checks")(value);
    return this.#call("doctor:run", "/v1/doctor", { method: "POST", body, isRight });
  }

  sessions(sub: string): Promise<Answer<{ sessions: Session[] }>> {
    return this.#call("sessions:read", sessionsOf(sub), { isRight: hasList("sessions") });
  }

  openSession(body: string, idempotencyKey: string): Promise<Answer<Tokens>> {
    const isRight = hasText("access_token");
    const call = { method: "POST", body, idempotencyKey, isRight } as const;
    return this.#call("sessions:write", SESSIONS, call);
  }

  /** Ends one session of the user, or all if `id` is null. */
  endSessions(sub: string, id: string | null, idempotencyKey: string): Promise<Answer<Accepted>> {
    const path = id === null ? sessionsOf(sub) : `${sessionsOf(sub)}&session_id=${escaped(id)}`;
    const isRight = hasText("position");
    return this.#call("sessions:write", path, { method: "DELETE", idempotencyKey, isRight });
  }

  revoke(body: string, idempotencyKey: string): Promise<Answer<Accepted>> {
    const call = { method: "POST", body, idempotencyKey, isRight: hasText("position") } as const;
    return this.#call("revocations:write", REVOCATIONS, call);
  }

  /** A page of the log: the newest requests that the filters let through, before the seq `before`. */
  log(before: number | null, filters: LogFilters = {}): Promise<Answer<LogPage>> {
    const query = new URLSearchParams({ limit: String(LOG_PAGE) });
    if (before !== null) query.set("before", String(before));
    for (const [name, value] of Object.entries(filters)) query.set(name, wellFormed(String(value)));
    return this.#call("revocations:read", `${REVOCATIONS}?${query}`, { isRight: hasList("requests") });
  }

  redButton(body: string, idempotencyKey: string): Promise<Answer<Pressed>> {
    const call = { method: "POST", body, idempotencyKey, isRight: hasList("dead_kids") } as const;
    return this.#call("red-button", "/v1/red-button", call);
  }

  /** What this API key may do, and what the control plane says of itself. */
  async status(): Promise<Status | null> {
    const isRight = (value: unknown) => isObject(value) && hasList("scopes")(value["key"]);
    const answer = await ask<Status>("/v1/status", { apiKey: this.#apiKey, isRight });
    for (const scope of SCOPES) {
      const isGranted = answer.ok && answer.value.key.scopes.includes(scope);
      const detail = `the API key lacks the scope ${scope}`;
      const lacks = { status: 403, code: "missing_scope", detail };
      this.#learn(scope, isGranted ? null : answer.ok ? lacks : answer.problem);
    }
    return answer.ok ? answer.value : null;
  }

  async #call<T>(scope: Scope, path: string, call: Call): Promise<Answer<T>> {
    const answer = await ask<T>(path, { ...call, apiKey: this.#apiKey });
    this.#learn(scope, answer.ok ? null : answer.problem);
    return answer;
  }
}

export type Scope = (typeof SCOPES)[number];

export type Learn = (scope: Scope, problem: Problem | null) => void;

/** The query of `GET /v1/revocations`; at most one of the first four. */
export interface LogFilters {
  sub?: string;
  jti?: string;
  session_id?: string;
  kid?: string;
  issuer?: string;
  since?: number;
  until?: number;
}

/** What is wrong with the user's id, if anything. */
export function userProblem(sub: string): string | null {
  const length = sizeBytes(sub);
  if (length < 1 || length > 256) return "The user must have 1 to 256 bytes.";
  return UNPAIRED.test(sub) ? "The user is not well-formed Unicode." : null;
}

/** In the query, because in a path a slash or dots would name another user. */
function sessionsOf(sub: string): string {
  return `${SESSIONS}?sub=${escaped(sub)}`;
}

function escaped(text: string): string {
  return encodeURIComponent(wellFormed(text));
}

/** Half a surrogate pair would make the encoding throw. */
function wellFormed(text: string): string {
  return text.replace(new RegExp(UNPAIRED, "gu"), "\ufffd");
}

const UNPAIRED = /\p{Cs}/u;
const API_KEYS = "/v1/api-keys";
const ISSUERS = "/v1/issuers";
const RELYING_PARTIES = "/v1/relying-parties";
const REVOCATIONS = "/v1/revocations";
const SESSIONS = "/v1/sessions";
const LOG_PAGE = 20;
/** The scopes that the page uses. */
export const SCOPES = [
  "metrics:read", "revocations:read", "revocations:write", "sessions:read", "sessions:write",
  "keys:read", "keys:write", "issuers:write", "api-keys:write", "feed:read", "followers:read", "doctor:run", "red-button",
] as const;
