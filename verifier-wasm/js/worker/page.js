// The browser page, if the deployment has its files.

/**
 * The page's answer, or nothing if the request is not for it.
 *
 * @param {Request} request
 * @param {{ PAGE?: { fetch(request: Request): Promise<Response> }, OFFSWITCH_PAGE_PATH?: string }} env
 * @returns {Promise<Response> | Response | undefined}
 */
export function pageFor(request, { PAGE, OFFSWITCH_PAGE_PATH: path = "" }) {
  const url = new URL(request.url);
  if (PAGE === undefined || path === "" || !["GET", "HEAD"].includes(request.method)) return undefined;
  // Without the slash the page would request its files one level higher.
  if (url.pathname === path) return Response.redirect(`${url.origin}${path}/`, 308);
  if (!url.pathname.startsWith(`${path}/`)) return undefined;
  url.pathname = url.pathname.slice(path.length);
  if (url.pathname === "/") url.pathname = "/index.html";
  // The page must get neither a token nor a cookie of the upstream.
  return PAGE.fetch(new Request(url, { method: request.method, headers: conditional(request) }));
}

/** @param {Request} request @returns {HeadersInit} */
function conditional({ headers }) {
  const known = headers.get("if-none-match");
  return known === null ? {} : { "if-none-match": known };
}
