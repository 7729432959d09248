// The calls of the console, each with the scope that it asks of the API key.

import type {
  Accepted, LogPage, NewKey, Pressed, Readiness, Session, SigningKeys, Status, Tokens,
} from "../shared/answers";
import { ask, askReadiness, isObject, type Answer, type Call, type Problem } from "../shared/request";

/** Calls the control plane with one API key, which is kept nowhere else. */
export class ControlPlane {
  readonly #apiKey: string | null;
  readonly #learn: Learn;

  /** `learn` is told what every answer says about the key. */
  constructor(apiKey: string | null, learn: Learn) {
    this.#apiKey = apiKey;
    this.#learn = learn;
  }

  get hasKey(): boolean {
    return this.#apiKey !== null;
  }

  /** Findings that are none are dropped; without a position it is somebody else's document. */
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
      hasList("token_keys")(value) && hasList("feed_public_keys")(value);
    return this.#call("keys:read", "/v1/keys", { isRight });
  }

  rotateKey(reason: string): Promise<Answer<NewKey>> {
    const body = JSON.stringify(reason === "" ? {} : { reason });
    return this.#call("keys:write", ROTATE, { method: "POST", body, isRight: hasText("kid") });
  }

  sessions(sub: string): Promise<Answer<{ sessions: Session[] }>> {
    return this.#call("sessions:read", sessionsOf(sub), { isRight: hasList("sessions") });
  }

  openSession(body: string, idempotencyKey: string): Promise<Answer<Tokens>> {
    const isRight = hasText("access_token");
    const call = { method: "POST", body, idempotencyKey, isRight } as const;
    return this.#call("sessions:write", SESSIONS, call);
  }

  /** Ends one session of the user, or all where none is named. */
  endSessions(sub: string, id: string | null, idempotencyKey: string): Promise<Answer<Accepted>> {
    const path = id === null ? sessionsOf(sub) : `${sessionsOf(sub)}&session_id=${escaped(id)}`;
    const isRight = hasText("position");
    return this.#call("sessions:write", path, { method: "DELETE", idempotencyKey, isRight });
  }

  revoke(body: string, idempotencyKey: string): Promise<Answer<Accepted>> {
    const call = { method: "POST", body, idempotencyKey, isRight: hasText("position") } as const;
    return this.#call("revocations:write", REVOCATIONS, call);
  }

  /** A page of the log: the newest, or what came before the seq `before`. */
  log(before: number | null): Promise<Answer<LogPage>> {
    const rest = before === null ? "" : `&before=${before}`;
    const path = `${REVOCATIONS}?limit=${LOG_PAGE}${rest}`;
    return this.#call("revocations:read", path, { isRight: hasList("requests") });
  }

  redButton(body: string, idempotencyKey: string): Promise<Answer<Pressed>> {
    const call = { method: "POST", body, idempotencyKey, isRight: hasList("dead_kids") } as const;
    return this.#call("red-button", RED_BUTTON, call);
  }

  /** What the control plane says of itself; learns from it what the key may do. */
  async status(): Promise<Status | null> {
    const isRight = (value: unknown) => isObject(value) && hasList("scopes")(value["key"]);
    const answer = await ask<Status>("/v1/status", { apiKey: this.#apiKey, isRight });
    for (const scope of SCOPES) {
      const may = answer.ok && answer.value.key.scopes.includes(scope);
      const detail = `the API key lacks the scope ${scope}`;
      const lacks = { status: 403, code: "missing_scope", detail };
      this.#learn(scope, may ? null : answer.ok ? lacks : answer.problem);
    }
    return answer.ok ? answer.value : null;
  }

  async #call<T>(scope: Scope, path: string, call: Call): Promise<Answer<T>> {
    const answer = await ask<T>(path, { ...call, apiKey: this.#apiKey });
    this.#learn(scope, answer.ok ? null : answer.problem);
    return answer;
  }
}

export type Scope =
  | "keys:read" | "keys:write" | "metrics:read" | "red-button"
  | "revocations:read" | "revocations:write" | "sessions:read" | "sessions:write";

export type Learn = (scope: Scope, problem: Problem | null) => void;

/** What is wrong with the user's id, if anything. */
export function userProblem(sub: string): string | null {
  const size_bytes = new TextEncoder().encode(sub).length;
  if (size_bytes < 1 || size_bytes > 256) return "The user must have 1 to 256 bytes.";
  return UNPAIRED.test(sub) ? "The user is not well-formed Unicode." : null;
}

/** A printable key for one submit. */
export function freshIdempotencyKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** In the query: in a path a slash or dots would name another user. */
function sessionsOf(sub: string): string {
  return `${SESSIONS}?sub=${escaped(sub)}`;
}

/** Half a character would be thrown back by the encoding. */
function escaped(text: string): string {
  return encodeURIComponent(text.replace(new RegExp(UNPAIRED, "gu"), "\ufffd"));
}

function hasList(name: string) {
  return (value: unknown) => isObject(value) && Array.isArray(value[name]);
}

function hasText(name: string) {
  return (value: unknown) => isObject(value) && typeof value[name] === "string";
}

const UNPAIRED = /\p{Cs}/u;
const RED_BUTTON = "/v1/red-button";
const REVOCATIONS = "/v1/revocations";
const ROTATE = "/v1/keys/rotate";
const SESSIONS = "/v1/sessions";
const LOG_PAGE = 20;
/** What the console has a use for. */
export const SCOPES: Scope[] = [
  "metrics:read", "revocations:read", "revocations:write", "sessions:read", "sessions:write",
  "keys:read", "keys:write", "red-button",
];
