import { Hono } from "hono";
import { offswitch } from "offswitch/hono";

/** @param {Parameters<typeof offswitch>[0]} verifier */
export function makeApp(verifier) {
  const app = new Hono();
  app.use("/api/*", offswitch(verifier, { scopes: ["read"] }));
  app.get("/api/me", (c) => c.json({ sub: c.get("offswitch").claims.sub }));
  return app;
}
