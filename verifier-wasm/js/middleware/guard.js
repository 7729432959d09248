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
 * @returns {(request: Request, ...rest: Rest) => Response | Promise<Response>} without a promise if nothing has
 *   to be awaited, which servers answer faster
 */
export function guard(verifier, handler, policy) {
  const rules = readRoutePolicy(policy);
  if (typeof verifier !== "function") checkVerifier(verifier);
  return (request, ...rest) => {
    if (typeof verifier === "function") return judgeLater(verifier, request, rest);
    const found = authorize(verifier, askedOfFetch(request), rules, waitUntilOf(rest));
    return "pass" in found ? handler(request, found.pass, ...rest) : answerLater(found, request, rest);
  };

  /** @param {(request: Request, ...rest: Rest) => any} choose @param {Request} request @param {Rest} rest */
  async function judgeLater(choose, request, rest) {
    const chosen = await choose(request, ...rest);
    return answerLater(authorize(chosen, askedOfFetch(request), rules, waitUntilOf(rest)), request, rest);
  }

  /**
   * @param {ReturnType<typeof authorize>} authorization @param {Request} request @param {Rest} rest
   * @returns {Promise<Response>}
   */
  async function answerLater(authorization, request, rest) {
    const found = await authorization;
    if ("pass" in found) return handler(request, found.pass, ...rest);
    const own = "ask" in found ? /** @type {any} */ (await found.ask(request, ...rest)) : undefined;
    return own ?? responseOf(found.answer);
  }
}

/** The platform's function that lets work outlive a request, if there is one. @param {any[]} rest */
function waitUntilOf(rest) {
  const context = rest.find((one) => typeof one?.waitUntil === "function");
  return context && ((/** @type {Promise<unknown>} */ work) => context.waitUntil(work));
}
