// Which requests may use a cookie: those of a page of exactly this origin.
//
// `SameSite` alone is not enough: a sister domain is the same site, and so is another port.

/**
 * The rule for requests that may change something. `Sec-Fetch-Site` decides if the browser sends it:
 * no page can forge it. Without it there must be an `Origin`, and it must be our own.
 *
 * `Origin: null` is what a page under `Referrer-Policy: no-referrer` sends. It counts only together
 * with `Sec-Fetch-Site: same-origin`, since sandboxed frames and redirects send it too.
 *
 * @param {Request} request
 */
export function isSameOrigin({ headers, url }) {
  const [origin, site] = [headers.get("origin"), headers.get("sec-fetch-site")];
  if (site !== null && site !== "same-origin") return false;
  return origin === new URL(url).origin || (origin === "null" && site !== null);
}

/**
 * The rule for the cookie's own routes. The custom header is one that a form cannot send and that
 * another origin's script may only send after a preflight, which the worker never answers.
 *
 * @param {Request} request
 */
export function isOwnScript(request) {
  return isSameOrigin(request) && request.headers.get("offswitch-csrf") === "1";
}

/**
 * How to treat a request's cookie: use it, ignore it as if it were missing, or refuse the request.
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
  // "none" is an action of the user: typed, bookmarked. Without the header it is no browser, or an old one,
  // whose SameSite rule excludes other sites.
  if ([null, "none", "same-origin"].includes(headers.get("sec-fetch-site"))) return "used";
  return isLandingFromAnotherSite(request) ? "used" : "ignored";
}

/**
 * True for a link to this address: a GET that fills the whole tab, so that the linking site sees nothing of the
 * answer. Frames, images and scripts have other destinations.
 *
 * @param {Request} request
 */
function isLandingFromAnotherSite({ headers, method }) {
  return method === "GET"
    && headers.get("sec-fetch-mode") === "navigate" && headers.get("sec-fetch-dest") === "document";
}
