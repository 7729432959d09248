// A guard for Fetch-style handlers: Workers, Deno.serve, Bun.serve, Vercel's edge functions.

import { responseOf } from "./answers.js";
import { askedOfFetch, authorize, checkVerifier, readRoutePolicy } from "./authorize.js";

/**
 * Lets only requests with a token that is valid now through. The handler gets the verdict, with the token's
 * claims, after the request.
 *
 * @template {unknown[]} Rest
 * @param {import("../verifier/verifier.js").Verifier
 *   | ((request: Request, ...rest: Rest) => import("../verifier/verifier.js").Verifier | Promise<import("../verifier/verifier.js").Verifier>)} verifier
 *   or a function that returns it, for runtimes in which a request brings the settings
 * @param {(request: Request, verdict: import("./authorize.js").Valid, ...rest: Rest) => Response | Promise<Response>} handler
 * @param {import("../index.d.ts").RoutePolicy} [policy]
 * @returns {(request: Request, ...rest: Rest) => Promise<Response>}
 */
export function guard(verifier, handler, policy) {
  const rules = readRoutePolicy(policy);
  if (typeof verifier !== "function") checkVerifier(verifier);
  return async (request, ...rest) => {
    const found = await authorize(
      typeof verifier === "function" ? await verifier(request, ...rest) : verifier,
      askedOfFetch(request),
      rules,
      waitUntilOf(rest),
    );
    if ("pass" in found) return handler(request, found.pass, ...rest);
    const own = "ask" in found ? /** @type {any} */ (await found.ask(request, ...rest)) : undefined;
    return own ?? responseOf(found.answer);
  };
}

/** The platform's function that lets work outlive a request, if there is one. @param {any[]} rest */
function waitUntilOf(rest) {
  const context = rest.find((one) => typeof one?.waitUntil === "function");
  return context && ((/** @type {Promise<unknown>} */ work) => context.waitUntil(work));
}
