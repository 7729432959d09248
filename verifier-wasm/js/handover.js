// The handover: a browser holds a cookie, this worker trades it for an access token. No token ever
// reaches the browser, and the cookie is set by a login and cleared by a logout, nowhere else.

import { problem, refusal, responseOf, withEvidence } from "./answers.js";
import { readBounded } from "./bounded-fetch.js";
import { login, logout, readObject } from "./handover-client.js";
import { CLEARED_COOKIE, cookieWith, readHandle } from "./handover-cookie.js";
import { HandoverTokens } from "./handover-tokens.js";
import { cookieUse, isOwnScript } from "./same-origin.js";

/**
 * @typedef {import("./verifier.js").Verdict} Verdict
 *
 * @typedef {object} Aid What the worker lends for one request.
 * @property {(token: string) => Promise<Verdict>} judge
 * @property {(verdict: Verdict) => Response} deny the answer to a token that is not valid
 * @property {(work: Promise<unknown>) => void} waitUntil
 *
 * @typedef {Extract<Verdict, { outcome: "valid" }>} Valid
 *
 * @typedef {{ token: string, verdict: Valid, sessionExpiresAt: number }} Admitted
 */

export class Handover {
  #authPath;
  #plane;
  #tokens;

  /** @param {import("./handover-client.js").ControlPlane & { authPath: string }} settings */
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
      return answer(404, "not_found", "there is no such route");
    }
    if (request.method !== "POST") {
      return answer(405, "method_not_allowed", "POST only", { allow: "POST" });
    }
    if (!isOwnScript(request)) return crossSite();
    if (path === "/login") return this.#login(request);
    const handle = readHandle(request.headers);
    return path === "/logout" ? this.#logout(handle, aid) : this.#session(handle, aid);
  }

  /**
   * Trades the cookie of a guarded request for a token that is good now.
   *
   * @param {Request} request @param {Aid} aid
   * @returns {Promise<Admitted | Response>} a response where there is none
   */
  async admit(request, aid) {
    const handle = readHandle(request.headers);
    const use = handle === undefined ? "ignored" : cookieUse(request);
    if (use === "refused") return crossSite();
    return this.#trade(use === "used" ? handle : undefined, aid);
  }

  /** @param {Request} request */
  async #login(request) {
    const code = await readCode(request);
    if (code instanceof Response) return code;
    const found = await login(this.#plane, code);
    if ("refused" in found) return answer(400, found.refused, "log in again for a new code");
    if ("unreachable" in found) return unreachable();
    this.#tokens.keep(found.handle, found);
    const left = Math.max(found.sessionExpiresAt - Math.floor(Date.now() / 1000), 0);
    return done(cookieWith(found.handle, left));
  }

  /** @param {string | undefined} handle @param {Aid} aid */
  async #logout(handle, { waitUntil }) {
    if (handle === undefined) return done();
    // A page that is left while it logs out still logs out.
    const work = logout(this.#plane, handle);
    waitUntil(work);
    const found = await work;
    // A browser that is told it is logged out while the session lives would never try again.
    if ("unreachable" in found) return unreachable();
    this.#tokens.end(handle);
    return done(CLEARED_COOKIE);
  }

  /** @param {string | undefined} handle @param {Aid} aid */
  async #session(handle, aid) {
    const admitted = await this.#trade(handle, aid);
    if (admitted instanceof Response) return admitted;
    const { sessionExpiresAt, verdict } = admitted;
    const { exp, sid, sub } = verdict.claims;
    const told = { sub, session_id: sid, expires_at: exp, session_expires_at: sessionExpiresAt };
    const headers = { "cache-control": "no-store" };
    return withEvidence(Response.json(told, { headers }), verdict);
  }

  /** @param {string | undefined} handle @param {Aid} aid @returns {Promise<Admitted | Response>} */
  async #trade(handle, { deny, judge, waitUntil }) {
    if (handle === undefined) return refused("missing_token", "a bearer token or a login is needed");
    for (let isSecond = false; ; isSecond = true) {
      const found = await this.#tokens.find(handle, waitUntil);
      if ("ended" in found) return refused("session_ended", "the session is over, log in again");
      if ("unreachable" in found) return unreachable();
      const { token, sessionExpiresAt } = found.held;
      const verdict = await judge(token);
      if (verdict.outcome === "valid") return { token, verdict, sessionExpiresAt };
      const mayHelp = !isSecond && REFRESH_HELPS.includes(verdict.code);
      if (!mayHelp || !this.#tokens.drop(handle, token)) return deny(verdict);
    }
  }
}

/** The code in a login's body. @param {Request} request @returns {Promise<string | Response>} */
async function readCode(request) {
  const type = (request.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (type !== "application/json") {
    return answer(415, "unsupported_media_type", "the body must be application/json");
  }
  const signal = AbortSignal.timeout(BODY_SECONDS * 1000);
  const reading = request.body && readBounded(request, MAX_BODY_BYTES, signal);
  const bytes = await reading?.catch(() => undefined);
  const code = bytes && readObject(bytes)?.code;
  if (typeof code !== "string") return answer(400, "invalid_request", 'the body must be {"code"}');
  if (/^osc_[A-Za-z0-9_-]{20,200}$/.test(code)) return code;
  return answer(400, "invalid_code", "that is no login code");
}

/** @param {string} [cookie] */
function done(cookie) {
  const headers = { "cache-control": "no-store", ...(cookie && { "set-cookie": cookie }) };
  return new Response(null, { status: 204, headers });
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
  return answer(403, "cross_site_request", "only a page of this origin may ask for that");
}

function unreachable() {
  return answer(503, "control_plane_unreachable", "the control plane did not answer, try again");
}

/** What a newer token of the same session may be free of. */
const REFRESH_HELPS = ["expired", "revoked_epoch", "revoked_key", "unknown_key"];
const MAX_BODY_BYTES = 4 * 1024;
const BODY_SECONDS = 5;
