// A hook for Fastify: `app.addHook("onRequest", offswitch(verifier))`.

import { authorize, checkVerifier, readRoutePolicy } from "./authorize.js";

/**
 * Lets only requests through whose bearer token is good now; `request.offswitch` is the verdict.
 * `onUndecided` gets the verdict, the request and the reply, and decides in its place.
 *
 * @param {import("../verifier/verifier.js").Verifier} verifier
 * @param {import("../index.d.ts").RoutePolicy} [policy]
 */
export function offswitch(verifier, policy) {
  const rules = readRoutePolicy(policy);
  checkVerifier(verifier);
  return async (/** @type {any} */ request, /** @type {any} */ reply) => {
    const found = await authorize(verifier, request.headers.authorization, rules);
    request.offswitch = found.verdict;
    if (!("problem" in found)) return undefined;
    if (found.verdict?.outcome === "undecided" && rules.onUndecided) {
      const answer = await rules.onUndecided(found.verdict, request, reply);
      if (reply.sent || answer === reply) return reply;
      // Like a handler's; without one the problem is told.
      if (answer !== undefined) return reply.send(answer);
    }
    const { status, headers, body } = found.problem;
    return reply.code(status).headers(headers).send(JSON.stringify(body));
  };
}
