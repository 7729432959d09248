// The routes for Hono, wherever it runs.

import { OWN_STATUS, ROUTES, told, toldError, toldUndecided } from "./routes.mjs";

/**
 * @param {typeof import("hono").Hono} Hono
 * @param {typeof import("offswitch/hono").offswitch} offswitch
 * @param {(name: string) => any} verifierOf a verifier by its name, or the function that has it
 */
export function honoRoutes(Hono, offswitch, verifierOf) {
  const app = new Hono();
  app.onError((error, c) => c.json(toldError(error), 500));
  for (const [path, { verifier, policy, decides, fails }] of Object.entries(ROUTES)) {
    const onUndecided = (verdict, request, c) => {
      if (decides === "fails" || request !== c.req.raw) throw new Error("the own answer failed");
      return c.json(toldUndecided(verdict, c.req.path), OWN_STATUS);
    };
    app.use(path, offswitch(verifierOf(verifier), decides ? { ...policy, onUndecided } : policy));
    app.all(path, async (c) => {
      if (fails) throw new Error("the handler failed");
      return c.json(told(c.get("offswitch"), await c.req.text()));
    });
  }
  return app;
}
