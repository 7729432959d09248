// One request to the origin that serves this page: it is answered, or it is said what went wrong.
// Nothing is thrown.

export type Answer<T> =
  | { ok: true; value: T; tookMs: number }
  | { ok: false; problem: Problem; tookMs: number };

/** A problem document (RFC 9457), or what stands in for one where nobody answered. */
export interface Problem {
  /** The HTTP status; 0 if there was no answer. */
  status: number;
  code: string;
  detail: string;
}

export interface Call {
  method?: "DELETE" | "GET" | "POST";
  /** JSON. */
  body?: string;
  /** Shown as a bearer token. */
  apiKey?: string | null;
  idempotencyKey?: string;
  /** The answer is text, and not JSON. */
  isText?: boolean;
  /** Whether an answer's value is of the shape that is read. */
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
  const told = (name: string) => {
    const field = isObject(json) ? json[name] : undefined;
    return typeof field === "string" ? field : undefined;
  };
  const unreadable = "The answer is not what this console knows how to read.";
  const detail = ok ? unreadable : (told("detail") ?? `HTTP ${status}, without a reason.`);
  const code = ok ? "unreadable_answer" : (told("code") ?? `http_${status}`);
  return { ok: false, problem: { status, code, detail }, tookMs };
}

/** Who answers at this origin. */
export type Whereabouts<T> =
  | { place: "control_plane"; readiness: T }
  | { place: "elsewhere" }
  | { place: "starting"; loading: Loading }
  | { place: "silent"; problem: Problem };

/** How far a control plane that starts has read its log; `of` is 0 before it knows. */
export interface Loading {
  read: number;
  of: number;
}

/** Readiness is the same document with 200 and with 503, but for a process that starts. */
export async function askReadiness<T>(isRight: Call["isRight"]): Promise<Whereabouts<T>> {
  const answer = await fetched("/readyz", { isRight });
  if ("problem" in answer) return { place: "silent", problem: answer.problem };
  const value = parsed(answer.text);
  if (isRight(value)) return { place: "control_plane", readiness: value as T };
  const loading = isObject(value) ? value["loading"] : undefined;
  if (isLoading(loading)) return { place: "starting", loading };
  const { status } = answer.response;
  if (status < 500) return { place: "elsewhere" };
  const detail = `Something in front of the control plane answers HTTP ${status}.`;
  return { place: "silent", problem: { status, code: `http_${status}`, detail } };
}

/** Seconds since 1970 by the clock of the control plane, as far as its answers told. */
export function nowSeconds(): number {
  return Date.now() / 1000 + aheadSeconds;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
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
      : "Nobody answers: the control plane or the network is down.";
    return { problem: { status: 0, code, detail } };
  }
}

/** Dates in HTTP are whole seconds: less than two of them are no difference between clocks. */
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
/** The largest bulk over a slow line has 60 s to arrive. */
const TIMEOUT_SECONDS = 60;
