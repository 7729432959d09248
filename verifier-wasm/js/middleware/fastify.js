// A hook for Fastify: `app.addHook("onRequest", offswitch(verifier))`.

import { askedOfNode, authorize, checkVerifier, readRoutePolicy } from "./authorize.js";

/**
 * Lets only requests with a token that is valid now through; `request.offswitch` is the verdict. `onUndecided`
 * gets the verdict, the request and the reply, and decides instead.
 *
 * @param {import("./authorize.js").Verifier} verifier
 * @param {import("../index.d.ts").RoutePolicy} [policy]
 */
export function offswitch(verifier, policy) {
  const rules = readRoutePolicy(policy);
  checkVerifier(verifier);
  return async (/** @type {any} */ request, /** @type {any} */ reply) => {
    const found = await authorize(verifier, askedOfNode(request), rules);
    request.offswitch = "pass" in found ? found.pass : found.verdict;
    if ("pass" in found) return undefined;
    const own = "ask" in found ? await found.ask(request, reply) : undefined;
    if (reply.sent || own === reply) return reply;
    // Its result is sent, like a handler's. If it returns nothing, the problem is sent.
    if (own !== undefined) return reply.send(own);
    const { status, headers, body } = found.answer;
    return reply.code(status).headers(headers).send(JSON.stringify(body));
  };
}
