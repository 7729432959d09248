// Sends a request on to the upstream, and cleans its answer of what is not for the browser.

import { stripAnswer, stripCookie } from "./handover-cookie.js";
import { problem, responseOf } from "./answers.js";

/**
 * Sends the request on as it came, with the verified claims in a header that only this worker can
 * set. With a `handover` our cookie stays here, and its token takes the place of a bearer token.
 *
 * @param {Request} request @param {URL} upstream @param {Record<string, any>} claims
 * @param {{ token?: string }} [handover] the token that a cookie was traded for
 */
export async function forward(request, upstream, claims, handover) {
  const { pathname, search } = new URL(request.url);
  const target = new URL(upstream);
  target.pathname = target.pathname.replace(/\/$/, "") + pathname;
  target.search = search;
  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()]) {
    // Some servers read "_" as "-".
    if (name.toLowerCase().replaceAll("_", "-").startsWith("offswitch-")) headers.delete(name);
  }
  headers.set("offswitch-claims", base64url(JSON.stringify(claims)));
  if (handover) stripCookie(headers);
  if (handover?.token !== undefined) headers.set("authorization", `Bearer ${handover.token}`);
  let response;
  try {
    const sent = new Request(request, { headers, redirect: "manual" });
    response = await fetch(new Request(target, sent));
  } catch {
    return responseOf(problem(502, "upstream_unreachable", "the upstream did not answer"));
  }
  return handover ? withoutSecrets(response, handover.token) : response;
}

/** @param {Response} response @param {string} [token] */
function withoutSecrets(response, token) {
  // The socket of a WebSocket is a field that workerd alone has.
  const { webSocket } = /** @type {any} */ (response);
  const headers = new Headers(response.headers);
  stripAnswer(headers, token);
  const { body, status, statusText } = response;
  return new Response(body, /** @type {any} */ ({ headers, status, statusText, webSocket }));
}

/** @param {string} text */
function base64url(text) {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
