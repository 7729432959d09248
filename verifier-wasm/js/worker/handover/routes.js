// The handover: a browser holds a cookie, this worker exchanges it for an access token. No token ever reaches
// the browser; only a login sets the cookie, and only a logout clears it.

import { problem, refusal, responseOf, withEvidence } from "../../middleware/answers.js";
import { readBounded } from "../../feed/bounded-fetch.js";
import { login, logout, readObject } from "./client.js";
import { CLEARED_COOKIE, cookieWith, readHandle } from "./cookie.js";
import { HandoverTokens } from "./tokens.js";
import { cookieUse, isOwnScript } from "./same-origin.js";

/**
 * @typedef {import("../../verifier/verifier.js").Verdict} Verdict
 *
 * @typedef {object} Aid What the worker lends for one request.
 * @property {(token: string) => Promise<Verdict>} judge
 * @property {(verdict: Verdict) => Response} deny the answer to a token that is not valid
 * @property {(work: Promise<unknown>) => void} waitUntil
 *
 * @typedef {Extract<Verdict, { outcome: "valid" }>} Valid
 *
 * @typedef {{ pass: Valid, token: string, sessionExpiresAt: number }} Admitted
 *
 * @typedef {ReturnType<typeof readHandle>} Read
 */

export class Handover {
  #authPath;
  #plane;
  #tokens;

  /** @param {import("./client.js").ControlPlane & { authPath: string }} settings */
  constructor({ authPath, ...plane }) {
    this.#authPath = authPath;
    this.#plane = plane;
    this.#tokens = new HandoverTokens(plane);
  }

  /** True for the cookie's own routes, which never reach the upstream. @param {Request} request */
  owns(request) {
    return new URL(request.url).pathname.startsWith(`${this.#authPath}/`);
  }

  /** Answers on one of the cookie's own routes. @param {Request} request @param {Aid} aid */
  async route(request, aid) {
    const path = new URL(request.url).pathname.slice(this.#authPath.length);
    if (!["/login", "/logout", "/session"].includes(path)) {
      return answer(404, "not_found", `expected ${this.#authPath}/login, /logout or /session`);
    }
    if (request.method !== "POST") {
      const detail = `expected POST, found ${request.method}`;
      return answer(405, "method_not_allowed", detail, { allow: "POST" });
    }
    if (!isOwnScript(request)) return crossSite();
    if (path === "/login") return this.#login(request);
    const found = readHandle(request.headers);
    return path === "/logout" ? this.#logout(found, aid) : this.#session(found, aid);
  }

  /**
   * Exchanges the cookie of a guarded request for a token that is valid now.
   *
   * @param {Request} request @param {Aid} aid
   * @returns {Promise<Admitted | Response>} a response if there is no valid token
   */
  async admit(request, aid) {
    const found = readHandle(request.headers);
    const use = "code" in found && found.code === "missing_token" ? "ignored" : cookieUse(request);
    if (use === "refused") return crossSite();
    return this.#trade(use === "used" ? found : { code: "missing_token" }, aid);
  }

  /** @param {Request} request */
  async #login(request) {
    const code = await readCode(request);
    if (code instanceof Response) return code;
    const found = await login(this.#plane, code);
    if ("refused" in found) {
      return answer(400, found.refused, "the code is used up or too old; log in again for a new one");
    }
    if ("unreachable" in found) return unreachable();
    this.#tokens.keep(found.handle, found);
    const left = Math.max(found.sessionExpiresAt - Math.floor(Date.now() / 1000), 0);
    return done(cookieWith(found.handle, left));
  }

  /**
   * Answers 204 only if this request ended the session. In every other case the browser forgets the cookie too,
   * and a code shows the page that nothing was ended here.
   *
   * @param {Read} read @param {Aid} aid
   */
  async #logout(read, { waitUntil }) {
    if ("code" in read) return loggedOut(read.code === "missing_token" ? "no_session" : read.code);
    const { handle } = read;
    // If the page closes during its logout, the logout still completes.
    const work = logout(this.#plane, handle);
    waitUntil(work);
    const found = await work;
    // A browser that believes it is logged out while the session lives would never retry.
    if ("unreachable" in found) return unreachable();
    this.#tokens.end(handle);
    return "refused" in found ? loggedOut(found.refused) : done(CLEARED_COOKIE);
  }

  /** @param {Read} read @param {Aid} aid */
  async #session(read, aid) {
    const admitted = await this.#trade(read, aid);
    if (admitted instanceof Response) return admitted;
    const { pass, sessionExpiresAt } = admitted;
    const { exp, sid, sub } = pass.claims;
    const session = { sub, session_id: sid, expires_at: exp, session_expires_at: sessionExpiresAt };
    const headers = { "cache-control": "no-store" };
    return withEvidence(Response.json(session, { headers }), pass);
  }

  /** @param {Read} read @param {Aid} aid @returns {Promise<Admitted | Response>} */
  async #trade(read, { deny, judge, waitUntil }) {
    if ("code" in read) return refused(read.code, WHY_NO_HANDLE[read.code]);
    const { handle } = read;
    for (let isSecond = false; ; isSecond = true) {
      const found = await this.#tokens.find(handle, waitUntil);
      if ("ended" in found) return refused("session_ended", "the session is over, log in again");
      if ("unreachable" in found) return unreachable();
      const { token, sessionExpiresAt } = found.held;
      const verdict = await judge(token);
      if (verdict.outcome === "valid") return { pass: verdict, token, sessionExpiresAt };
      const mayHelp = !isSecond && REFRESH_HELPS.includes(verdict.code);
      if (!mayHelp || !this.#tokens.drop(handle, token)) return deny(verdict);
    }
  }
}

/** The code in a login's body. @param {Request} request @returns {Promise<string | Response>} */
async function readCode(request) {
  if (!/^application\/json *(;|$)/i.test(request.headers.get("content-type") ?? "")) {
    return answer(415, "unsupported_media_type", "expected a body of the type application/json");
  }
  const signal = AbortSignal.timeout(BODY_SECONDS * 1000);
  const reading = request.body && readBounded(request, MAX_BODY_BYTES, signal);
  const bytes = await reading?.catch(() => undefined);
  const code = bytes && readObject(bytes)?.code;
  if (typeof code !== "string") {
    return answer(400, "invalid_request", 'expected a JSON object {"code": "osc_…"} as the body');
  }
  if (/^osc_[A-Za-z0-9_-]{20,200}$/.test(code)) return code;
  const detail = "expected a login code, osc_ and its characters, as POST /v1/sessions answers it";
  return answer(400, "invalid_code", detail);
}

/** @param {string} [cookie] */
function done(cookie) {
  const headers = { "cache-control": "no-store", ...(cookie && { "set-cookie": cookie }) };
  return new Response(null, { status: 204, headers });
}

/** The answer to a logout that has ended nothing. @param {string} code */
function loggedOut(code) {
  const detail = "no session was ended by this request; the cookie was cleared";
  return answer(code === "session_ended" ? 410 : 400, code, detail, { "set-cookie": CLEARED_COOKIE });
}

/** @param {number} status @param {string} code @param {string} detail @param {Record<string, string>} [headers] */
function answer(status, code, detail, headers) {
  return responseOf(problem(status, code, detail, headers));
}

/** @param {string} code @param {string} detail */
function refused(code, detail) {
  return responseOf(refusal(code, detail));
}

function crossSite() {
  const detail = "expected a request of a page of this origin, and offswitch-csrf: 1 on the cookie's routes";
  return answer(403, "cross_site_request", detail);
}

function unreachable() {
  return answer(503, "control_plane_unreachable", "the control plane did not answer, try again");
}

const WHY_NO_HANDLE = {
  ambiguous_cookie: "found several cookies of the session, expected one; log in again",
  invalid_cookie: "the cookie is not one that a login sets; log in again",
  missing_token: "send a bearer token or log in first",
};
/** Codes of refusals that a newer token of the same session may not get. */
const REFRESH_HELPS = ["expired", "revoked_epoch", "revoked_key", "unknown_key"];
const MAX_BODY_BYTES = 4 * 1024;
const BODY_SECONDS = 5;
