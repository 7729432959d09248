// The edge worker's own answers: problem documents (RFC 9457) with a stable code.

/** @param {number} status @param {string} code @param {string} detail @param {object} [headers] */
export function answer(status, code, detail, headers = {}) {
  const body = JSON.stringify({ type: "about:blank", title: TITLES[status], status, code, detail });
  return new Response(body, {
    status,
    headers: {
      "cache-control": "no-store",
      "content-type": "application/problem+json",
      ...(status === 503 ? { "retry-after": "1" } : {}),
      ...headers,
    },
  });
}

/**
 * A 401 as RFC 6750 section 3 has it: without a token there is no error to speak of.
 *
 * @param {string} code @param {string} detail @param {object} [headers]
 */
export function refuse(code, detail, headers = {}) {
  const challenge = code === "missing_token"
    ? "Bearer"
    : `Bearer error="invalid_token", error_description="${code}"`;
  return answer(401, code, detail, { "www-authenticate": challenge, ...headers });
}

/**
 * The answer to a token that is not valid.
 *
 * After a red button every client wants a new token at once. Each is told another time to come
 * back, which spreads them.
 *
 * @param {import("./verifier.js").Verdict} verdict @param {number} jitterSeconds
 */
export function deny(verdict, jitterSeconds) {
  const { code, outcome } = verdict;
  const detail = "detail" in verdict ? verdict.detail : "";
  if (outcome !== "refused") return withEvidence(answer(503, code, detail), verdict);
  const isMassEvent = ["revoked_epoch", "revoked_key", "unknown_key"].includes(code);
  const seconds = 1 + Math.floor(Math.random() * jitterSeconds);
  const headers = isMassEvent && jitterSeconds > 0 ? { "retry-after": String(seconds) } : {};
  return withEvidence(refuse(code, detail, headers), verdict);
}

/**
 * Adds what the verdict was based on.
 *
 * @param {Response} response @param {import("./verifier.js").Verdict} verdict
 */
export function withEvidence(response, { code, evidence }) {
  if (response.status === 101) return response;
  const made = new Response(response.body, response);
  made.headers.set("offswitch-verdict", code);
  made.headers.delete("offswitch-position");
  if (evidence.position !== null) made.headers.set("offswitch-position", evidence.position);
  return made;
}

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
