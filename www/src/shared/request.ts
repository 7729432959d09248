// One request to the origin that serves this page. The result is an answer or a problem; nothing is
// thrown.

export type Answer<T> =
  | { ok: true; value: T; tookMs: number }
  | { ok: false; problem: Problem; tookMs: number };

/** A problem document (RFC 9457), or a description of why there is no answer. */
export interface Problem {
  /** The HTTP status; 0 if there was no answer. */
  status: number;
  code: string;
  detail: string;
  /** The place in the request's body that is wrong, a JSON Pointer (RFC 6901). */
  pointer?: string;
}

export interface Call {
  method?: "DELETE" | "GET" | "POST" | "PUT";
  /** JSON. */
  body?: string;
  /** Sent as a bearer token. */
  apiKey?: string | null;
  idempotencyKey?: string;
  /** The answer is text, and not JSON. */
  isText?: boolean;
  /** Whether an answer has the shape that the caller reads. */
  isRight(value: unknown): boolean;
}

export async function ask<T>(path: string, call: Call): Promise<Answer<T>> {
  const started = performance.now();
  const answer = await fetched(path, call);
  const tookMs = performance.now() - started;
  if ("problem" in answer) return { ok: false, problem: answer.problem, tookMs };
  const { response, text } = answer;
  const json = parsed(text);
  const value = call.isText ? text : json;
  const { ok, status } = response;
  if (ok && call.isRight(value)) return { ok, value: value as T, tookMs };
  if (ok) return { ok: false, problem: { status, ...UNREADABLE }, tookMs };
  const member = (name: string) => {
    const found = isObject(json) ? json[name] : undefined;
    return typeof found === "string" ? found : undefined;
  };
  const pointer = member("pointer");
  const problem = {
    status,
    code: member("code") ?? `http_${status}`,
    detail: member("detail") ?? `HTTP ${status}, without a reason.`,
    ...(pointer !== undefined && { pointer }),
  };
  return { ok: false, problem, tookMs };
}

/** What serves this origin. */
export type Whereabouts<T> =
  | { place: "control_plane"; readiness: T }
  | { place: "elsewhere" }
  | { place: "starting"; loading: Loading }
  | { place: "silent"; problem: Problem };

/** How much of its log a starting control plane has read; `of` is 0 until it knows. */
export interface Loading {
  read: number;
  of: number;
}

/** Readiness is the same document with 200 and with 503, except while the process starts. */
export async function askReadiness<T>(isRight: Call["isRight"]): Promise<Whereabouts<T>> {
  const answer = await fetched("/readyz", { isRight });
  if ("problem" in answer) return { place: "silent", problem: answer.problem };
  const value = parsed(answer.text);
  if (isRight(value)) return { place: "control_plane", readiness: value as T };
  const loading = isObject(value) ? value["loading"] : undefined;
  if (isLoading(loading)) return { place: "starting", loading };
  const { status } = answer.response;
  if (status < 500) return { place: "elsewhere" };
  const detail = `A proxy in front of the control plane answers HTTP ${status}.`;
  return { place: "silent", problem: { status, code: `http_${status}`, detail } };
}

/** Unix seconds by the clock of the control plane, as its answers showed it. */
export function nowSeconds(): number {
  return Date.now() / 1000 + aheadSeconds;
}

/** An idempotency key for one submit. */
export function freshIdempotencyKey(): string {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function hasList(name: string) {
  return (value: unknown) => isObject(value) && Array.isArray(value[name]);
}

export function hasText(name: string) {
  return (value: unknown) => isObject(value) && typeof value[name] === "string";
}

function isLoading(value: unknown): value is Loading & Record<string, unknown> {
  return isObject(value) && [value["read"], value["of"]].every(Number.isSafeInteger);
}

async function fetched(
  path: string,
  { method = "GET", body, apiKey, idempotencyKey }: Call,
): Promise<{ response: Response; text: string } | { problem: Problem }> {
  const headers: Record<string, string> = {};
  if (apiKey) headers["authorization"] = `Bearer ${apiKey}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  if (idempotencyKey) headers["idempotency-key"] = idempotencyKey;
  try {
    const signal = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
    const rest = { cache: "no-store", credentials: "omit", redirect: "error", signal } as const;
    const response = await fetch(path, { method, headers, body: body ?? null, ...rest });
    const text = await response.text();
    setClock(response.headers.get("date"));
    return { response, text };
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === "TimeoutError";
    const code = isLate ? "timed_out" : "no_answer";
    const detail = isLate
      ? `There was no answer within ${TIMEOUT_SECONDS} seconds.`
      : "No response: the control plane or the network is down.";
    return { problem: { status: 0, code, detail } };
  }
}

/** HTTP dates are whole seconds, so a difference below two seconds says nothing about the clocks. */
function setClock(date: string | null) {
  const ahead = date === null ? Number.NaN : (Date.parse(date) - Date.now()) / 1000;
  if (Number.isFinite(ahead)) aheadSeconds = Math.abs(ahead) < 2 ? 0 : ahead;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

let aheadSeconds = 0;
const UNREADABLE = {
  code: "unreadable_answer", detail: "The answer does not have the shape that this page reads.",
};
/** The largest bulk request has 60 s to arrive over a slow line. */
const TIMEOUT_SECONDS = 60;
