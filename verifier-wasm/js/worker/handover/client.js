// The three calls to the control plane's handover, and how its answers are read.
//
// Only three forms of an answer are accepted: 200 with every field of its type, and the problem codes with
// which the control plane itself refuses a code or a session. Any other answer says nothing about the session:
// the control plane counts as unreachable (503, never 401).

import { boundedExchange } from "../../feed/bounded-fetch.js";
import { isHandle } from "./cookie.js";

/**
 * @typedef {{ url: string, apiKey: string }} ControlPlane
 *
 * @typedef {{ token: string, lifeSeconds: number, sessionExpiresAt: number }} AccessToken
 *
 * @typedef {{ refused: string }} Refused The problem code.
 *
 * @typedef {{ unreachable: string }} Unreachable Why; never with a handle or token in it.
 */

/**
 * Exchanges the one-time code of a login for a handle and its first access token.
 *
 * @param {ControlPlane} plane @param {string} code
 * @returns {Promise<(AccessToken & { handle: string }) | Refused | Unreachable>}
 */
export async function login(plane, code) {
  const answer = await call(plane, "login", { code }, { 400: "invalid_code" });
  if (!("fields" in answer)) return answer;
  const { handle } = answer.fields;
  const token = accessToken(answer.fields);
  if ("unreachable" in token) return token;
  return isHandle(handle) ? { ...token, handle } : WRONG_FIELDS;
}

/**
 * Requests an access token for a session, while the session lives.
 *
 * @param {ControlPlane} plane @param {string} handle
 * @returns {Promise<AccessToken | Refused | Unreachable>}
 */
export async function refresh(plane, handle) {
  const answer = await call(plane, "token", { handle }, ENDED);
  return "fields" in answer ? accessToken(answer.fields) : answer;
}

/**
 * Ends a session. A position in the answer means that it has durably ended.
 *
 * @param {ControlPlane} plane @param {string} handle
 * @returns {Promise<{ position: string } | Refused | Unreachable>}
 */
export async function logout(plane, handle) {
  const answer = await call(plane, "logout", { handle }, ENDED);
  if (!("fields" in answer)) return answer;
  const { position } = answer.fields;
  return typeof position === "string" ? { position } : WRONG_FIELDS;
}

/**
 * @param {ControlPlane} plane @param {string} path @param {Record<string, string>} body
 * @param {Record<number, string>} refusals the accepted code, by status
 * @returns {Promise<{ fields: Record<string, unknown> } | Refused | Unreachable>}
 */
async function call(plane, path, body, refusals) {
  const answer = await exchange(plane, path, body, refusals);
  // The operator must learn of a wrong API key; the reason names no handle and no token.
  if ("unreachable" in answer) console.error(`handover: ${answer.unreachable}`);
  return answer;
}

/**
 * @param {ControlPlane} plane @param {string} path @param {Record<string, string>} body
 * @param {Record<number, string>} refusals
 * @returns {Promise<{ fields: Record<string, unknown> } | Refused | Unreachable>}
 */
async function exchange({ url, apiKey }, path, body, refusals) {
  try {
    const { status, bytes } = await boundedExchange(`${url}/${path}`, {
      accept: "application/json, application/problem+json",
      body: JSON.stringify(body),
      contentTypes: ["application/json", "application/problem+json"],
      headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
      maxBytes: MAX_ANSWER_BYTES,
      method: "POST",
      statuses: [200, ...Object.keys(refusals).map(Number)],
      timeoutSeconds: TIMEOUT_SECONDS,
    });
    const fields = readObject(bytes);
    if (fields === undefined) return { unreachable: "an answer that is not JSON" };
    if (status === 200) return { fields };
    const code = refusals[status];
    return fields.code === code ? { refused: code } : { unreachable: `status ${status}` };
  } catch (error) {
    return { unreachable: error instanceof Error ? error.message : "no answer" };
  }
}

/** Parses bytes as a JSON object. @param {Uint8Array} bytes */
export function readObject(bytes) {
  try {
    const value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * `expires_in` rather than `expires_at`: the lifetime of the token is the same on every clock.
 *
 * @param {Record<string, unknown>} fields
 * @returns {AccessToken | Unreachable}
 */
function accessToken(fields) {
  const { access_token: token, expires_in: lifeSeconds, session_expires_at: end } = fields;
  const isBearer = typeof fields.token_type === "string" && /^bearer$/i.test(fields.token_type);
  if (!isBearer || !isToken(token) || !isSeconds(lifeSeconds) || !isSeconds(end)) {
    return WRONG_FIELDS;
  }
  return { token, lifeSeconds, sessionExpiresAt: end };
}

/**
 * A value that a header field can carry; the verifier judges the rest.
 *
 * @param {unknown} value @returns {value is string}
 */
const isToken = (value) => typeof value === "string" && /^[A-Za-z0-9._-]{1,16384}$/.test(value);
/** @param {unknown} value @returns {value is number} */
const isSeconds = (value) => typeof value === "number" && Number.isSafeInteger(value) && value > 0;

/** The session does not exist any more. */
const ENDED = { 400: "invalid_handle", 410: "session_ended" };
const WRONG_FIELDS = { unreachable: "an answer with wrong fields" };
const MAX_ANSWER_BYTES = 64 * 1024;
const TIMEOUT_SECONDS = 5;
