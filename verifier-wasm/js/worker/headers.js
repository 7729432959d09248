// The security headers of the worker's own answers. The upstream's answers keep their own.

/**
 * Adds them to an answer with data, which must not be run, framed or sniffed.
 *
 * @param {Request} request @param {Response} response
 */
export function ownAnswer(request, response) {
  return withHeaders(request, response, "default-src 'none'; frame-ancestors 'none'");
}

/**
 * Adds them to a file of the page: its document's policy, and a rule for framing, which a document cannot
 * contain. Scripts have it too, because a web worker obeys its own file's policy.
 *
 * @param {Request} request @param {Response} response
 */
export function pageAnswer(request, response) {
  const isOutside = new URL(request.url).pathname.endsWith("/outside.html");
  return withHeaders(request, response, isOutside ? OUTSIDE_POLICY : PAGE_POLICY);
}

/** @param {Request} request @param {Response} response @param {string} policy */
function withHeaders({ url }, response, policy) {
  const made = new Response(response.body, response);
  const { headers } = made;
  headers.set("content-security-policy", policy);
  headers.set("cross-origin-opener-policy", "same-origin");
  headers.set("referrer-policy", "no-referrer");
  headers.set("x-content-type-options", "nosniff");
  if (url.startsWith("https:")) headers.set("strict-transport-security", "max-age=31536000");
  return made;
}

// As in www/index.html and www/outside.html.
const PAGE_POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
  + "img-src 'self'; connect-src 'self'; frame-src 'self'; worker-src 'self'; base-uri 'none'; "
  + "form-action 'none'; frame-ancestors 'none'";
const OUTSIDE_POLICY = "default-src 'none'; script-src 'self'; "
  + "connect-src 'self' https: http://127.0.0.1:* http://localhost:*; base-uri 'none'; "
  + "form-action 'none'; frame-ancestors 'self'";
