// Which requests may act with a cookie: those that a page of this very origin makes.
//
// `SameSite=Strict` alone does not do: a sister domain is the same site, and so is another port.

/**
 * The rule for requests that may change something: an `Origin` that is there and our own. Browsers
 * send it with each of them; `null` is the origin of sandboxed frames and of redirects.
 *
 * @param {Request} request
 */
export function isSameOrigin({ headers, url }) {
  const site = headers.get("sec-fetch-site");
  return headers.get("origin") === new URL(url).origin && (site === null || site === "same-origin");
}

/**
 * The rule for the cookie's own routes. The custom header is one that a form cannot send and that
 * another origin's script may only send after a preflight, which nobody here answers.
 *
 * @param {Request} request
 */
export function isOwnScript(request) {
  return isSameOrigin(request) && request.headers.get("offswitch-csrf") === "1";
}

/**
 * What a request's cookie is good for: to be used, to be ignored as if it were not there, or to
 * have the request refused.
 *
 * @param {Request} request
 * @returns {"ignored" | "refused" | "used"}
 */
export function cookieUse(request) {
  const { headers, method } = request;
  // A WebSocket begins as a GET, and no CORS rule keeps another origin from reading it.
  const isWebSocket = (headers.get("upgrade") ?? "").toLowerCase().includes("websocket");
  if (isWebSocket || (method !== "GET" && method !== "HEAD")) {
    return isSameOrigin(request) ? "used" : "refused";
  }
  // "none" is the user's own doing: typed, bookmarked. Without the header it is no browser.
  return [null, "none", "same-origin"].includes(headers.get("sec-fetch-site")) ? "used" : "ignored";
}
