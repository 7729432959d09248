// A middleware for Express and whatever takes its handlers: `app.use(offswitch(verifier))`.

import { authorize, checkVerifier, readRoutePolicy } from "./authorize.js";

/**
 * Lets only requests through whose bearer token is good now; `request.offswitch` is the verdict.
 * `onUndecided` gets the verdict, then what a handler gets, and decides in its place.
 *
 * @param {import("../verifier/verifier.js").Verifier} verifier
 * @param {import("../index.d.ts").RoutePolicy} [policy]
 */
export function offswitch(verifier, policy) {
  const rules = readRoutePolicy(policy);
  checkVerifier(verifier);
  return async (/** @type {any} */ request, /** @type {any} */ response, /** @type {(error?: unknown) => void} */ next) => {
    let found;
    try {
      found = await authorize(verifier, request.headers.authorization, rules);
      request.offswitch = found.verdict;
      if ("problem" in found) {
        if (found.verdict?.outcome === "undecided" && rules.onUndecided) {
          return await rules.onUndecided(found.verdict, request, response, next);
        }
        const { status, headers, body } = found.problem;
        return response.writeHead(status, headers).end(JSON.stringify(body));
      }
    } catch (error) {
      return next(error);
    }
    // Out here: what a handler throws is no reason to call the handlers again.
    next();
  };
}
