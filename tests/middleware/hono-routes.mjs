// The routes for Hono, in every runtime.

import { OWN_STATUS, ROUTES, verdictBody, errorBody, undecidedBody } from "./routes.mjs";

/**
 * @param {typeof import("hono").Hono} Hono
 * @param {typeof import("offswitch/hono").offswitch} offswitch
 * @param {(name: string) => any} verifierOf a verifier by its name, or the function that returns it
 */
export function honoRoutes(Hono, offswitch, verifierOf) {
  const app = new Hono();
  app.onError((error, c) => c.json(errorBody(error), 500));
  for (const [path, { verifier, policy, decides, fails }] of Object.entries(ROUTES)) {
    const onUndecided = (verdict, request, c) => {
      if (decides === "fails" || request !== c.req.raw) throw new Error("the own answer failed");
      return c.json(undecidedBody(verdict, c.req.path), OWN_STATUS);
    };
    app.use(path, offswitch(verifierOf(verifier), decides ? { ...policy, onUndecided } : policy));
    app.all(path, async (c) => {
      if (fails) throw new Error("the handler failed");
      return c.json(verdictBody(c.get("offswitch"), await c.req.text()));
    });
  }
  return app;
}
