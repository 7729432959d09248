// The answers to requests that do not get through: problem documents (RFC 9457) with a stable code, as
// data, so that every framework can send them.

/**
 * @typedef {{ status: number, headers: Record<string, string>, body: { type: string, title: string,
 *   status: number, code: string, detail: string } }} Problem
 *
 * @typedef {import("../index.d.ts").Verdict} Verdict
 *
 * @typedef {"Bearer" | "DPoP"} Scheme
 */

/**
 * @param {number} status @param {string} code @param {string} detail
 * @param {Record<string, string>} [headers]
 * @returns {Problem}
 */
export function problem(status, code, detail, headers = {}) {
  return {
    status,
    headers: {
      "cache-control": "no-store",
      "content-type": "application/problem+json",
      ...(status === 503 ? { "retry-after": "1" } : {}),
      ...headers,
    },
    body: { type: `urn:offswitch:problem:${code}`, title: TITLES[status], status, code, detail },
  };
}

/**
 * A 401 as RFC 6750 section 3 defines it: without a token the challenge names no error. For a token that must
 * be sent with a proof, or was, as RFC 9449 section 7.1 defines it.
 *
 * @param {string} code @param {string} detail @param {Record<string, string>} [headers]
 * @param {Scheme} [scheme] with which the token was sent
 */
export function refusal(code, detail, headers = {}, scheme = "Bearer") {
  const isOfProof = scheme === "DPoP" || code === "sender_constrained";
  const error = code === "invalid_dpop_proof" ? code : "invalid_token";
  const reason = `error="${error}", error_description="${code}"`;
  const challenge = code === "missing_token" ? "Bearer"
    : isOfProof ? `DPoP ${reason}, algs="${PROOF_ALGS}"` : `Bearer ${reason}`;
  return problem(401, code, detail, { "www-authenticate": challenge, ...headers });
}

/**
 * The answer to a token that is not valid.
 *
 * After a red button all clients want a new token at the same time. Each gets another time to retry, which
 * spreads them.
 *
 * @param {Verdict} verdict @param {number} jitterSeconds @param {Scheme} [scheme]
 */
export function denial(verdict, jitterSeconds, scheme) {
  const { code, outcome } = verdict;
  const { detail = "" } = verdict;
  if (outcome !== "refused") return problem(503, code, detail);
  const isMassEvent = ["revoked_epoch", "revoked_key", "unknown_key"].includes(code);
  if (!isMassEvent || jitterSeconds === 0) return refusal(code, detail, {}, scheme);
  const retryAfter = `${1 + Math.floor(Math.random() * jitterSeconds)}`;
  return refusal(code, detail, { "retry-after": retryAfter }, scheme);
}

/**
 * A valid token without a required scope (RFC 6750 section 3.1).
 *
 * @param {string[]} scopes that the route requires @param {string[]} missing that the token lacks
 * @param {Scheme} scheme
 */
export function insufficientScope(scopes, missing, scheme) {
  const challenge = `${scheme} error="insufficient_scope", scope="${scopes.join(" ")}"`;
  const detail = `expected a token with the scope ${scopes.join(" ")}, found one without ${missing.join(" ")}`;
  return problem(403, "insufficient_scope", detail, { "www-authenticate": challenge });
}

/** @param {Problem} problem */
export function responseOf({ status, headers, body }) {
  return new Response(JSON.stringify(body), { status, headers });
}

/**
 * Adds the evidence of the verdict to a response made here.
 *
 * @param {Response} response @param {Verdict} verdict
 */
export function withEvidence(response, { code, evidence }) {
  response.headers.set("offswitch-verdict", code);
  response.headers.delete("offswitch-position");
  if (evidence.position !== null) response.headers.set("offswitch-position", evidence.position);
  return response;
}

/** The algorithms of proofs. */
const PROOF_ALGS = "ES256 ES384 ES512 EdDSA Ed25519 PS256 PS384 PS512 RS256 RS384 RS512";
/** @type {Record<number, string>} */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  415: "Unsupported Media Type",
  502: "Bad Gateway",
  503: "Service Unavailable",
};
