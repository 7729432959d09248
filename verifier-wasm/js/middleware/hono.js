// A middleware for Hono: `app.use("/api/*", offswitch(verifier, { scopes: ["read"] }))`.

import { askedOfFetch, authorize, checkVerifier, readRoutePolicy } from "./authorize.js";

/**
 * Lets only requests with a token that is valid now through; `c.get("offswitch")` is the verdict.
 *
 * @param {import("./authorize.js").Verifier | ((c: any) => import("./authorize.js").Verifier | Promise<import("./authorize.js").Verifier>)} verifier
 * @param {import("../index.d.ts").RoutePolicy} [policy]
 */
export function offswitch(verifier, policy) {
  const rules = readRoutePolicy(policy);
  if (typeof verifier !== "function") checkVerifier(verifier);
  return async (/** @type {any} */ c, /** @type {() => Promise<void>} */ next) => {
    const judge = typeof verifier === "function" ? await verifier(c) : verifier;
    const found = await authorize(judge, askedOfFetch(c.req.raw), rules, waitUntilOf(c));
    if ("ask" in found) {
      const own = await found.ask(c.req.raw, c);
      // It may also have stored its answer in the context.
      if (own || c.finalized) return own;
    }
    // Hono's own way, which keeps the headers that were set before.
    if ("answer" in found) return c.body(JSON.stringify(found.answer.body), found.answer.status, found.answer.headers);
    c.set("offswitch", found.pass);
    return next();
  };
}

/** Hono throws if its runtime has no such context. @param {any} c */
function waitUntilOf(c) {
  try {
    const context = c.executionCtx;
    return (/** @type {Promise<unknown>} */ work) => context.waitUntil(work);
  } catch {
    return undefined;
  }
}
