// Forwards a request to the upstream, and removes from its answer what the browser must not get.

import { stripAnswer, stripCookie } from "./handover/cookie.js";

/**
 * Forwards the request unchanged, with the verified claims in a header that only this worker can set: the
 * token's payload, byte for byte as it was signed. With a `cookie` our cookie is removed; if it was used, the
 * token that it was exchanged for replaces it.
 *
 * @param {Request} request @param {URL} upstream @param {string} token that is valid
 * @param {"none" | "removed" | "used"} cookie
 * @returns {Promise<Response | undefined>} undefined if the upstream did not answer
 */
export async function forward(request, upstream, token, cookie) {
  const { pathname, search } = new URL(request.url);
  const target = new URL(upstream);
  target.pathname = target.pathname.replace(/\/$/, "") + pathname;
  target.search = search;
  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()]) if (isOurs(name)) headers.delete(name);
  headers.set("offswitch-claims", token.split(".")[1]);
  if (cookie !== "none") stripCookie(headers);
  if (cookie === "used") headers.set("authorization", `Bearer ${token}`);
  let response;
  try {
    const sent = new Request(request, { headers, redirect: "manual" });
    // The body's bytes stay unchanged; only workerd has this name.
    const asItIs = /** @type {RequestInit} */ ({ encodeResponseBody: "manual" });
    response = await fetch(new Request(target, sent), asItIs);
  } catch {
    return undefined;
  }
  return cookie === "none" ? response : withoutSecrets(response, cookie === "used" ? token : undefined);
}

/**
 * True for a name that an upstream may read as one of ours. Servers turn header names into variables (CGI and
 * its successors): letters and digits stay, and all other characters become the same one.
 *
 * @param {string} name
 */
export function isOurs(name) {
  return /^offswitch-/i.test(name.replace(/[^a-z0-9]/gi, "-"));
}

/** @param {Response} response @param {string} [token] */
function withoutSecrets(response, token) {
  // Only workerd has a field for the socket of a WebSocket.
  const { webSocket } = /** @type {any} */ (response);
  const headers = new Headers(response.headers);
  stripAnswer(headers, token);
  const { body, status, statusText } = response;
  return new Response(body, /** @type {any} */ ({ encodeBody: "manual", headers, status, statusText, webSocket }));
}
