// A middleware for Express and frameworks with the same handlers: `app.use(offswitch(verifier))`.

import { askedOfNode, authorize, checkVerifier, readRoutePolicy } from "./authorize.js";

/**
 * Lets only requests with a token that is valid now through; `request.offswitch` is the verdict. `onUndecided`
 * gets the verdict, then a handler's arguments, and decides instead: like a handler it has to answer or to call
 * `next`, because it may do either later.
 *
 * @param {import("./authorize.js").Verifier} verifier
 * @param {import("../index.d.ts").RoutePolicy} [policy]
 */
export function offswitch(verifier, policy) {
  const rules = readRoutePolicy(policy);
  checkVerifier(verifier);
  return async (/** @type {any} */ request, /** @type {any} */ response, /** @type {(error?: unknown) => void} */ next) => {
    try {
      const found = await authorize(verifier, askedOfNode(request), rules);
      request.offswitch = "pass" in found ? found.pass : found.verdict;
      if ("ask" in found) return await found.ask(request, response, next);
      if ("answer" in found) {
        const { status, headers, body } = found.answer;
        return response.writeHead(status, headers).end(JSON.stringify(body));
      }
    } catch (error) {
      return next(error);
    }
    // Outside of `try`: an error of a handler is no reason to call the handlers again.
    next();
  };
}
