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

/** A 401 as RFC 6750 section 3 has it: without a token there is no error to speak of. */
export function refuse(/** @type {string} */ code, /** @type {string} */ detail) {
  const challenge = code === "missing_token"
    ? "Bearer"
    : `Bearer error="invalid_token", error_description="${code}"`;
  return answer(401, code, detail, { "www-authenticate": challenge });
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
const TITLES = { 401: "Unauthorized", 502: "Bad Gateway", 503: "Service Unavailable" };
