import { Hono } from "hono";
import { offswitch } from "offswitch/hono";

/** The application, for any runtime. @param {import("offswitch").Verifier} verifier */
export function makeApp(verifier) {
  const app = new Hono();
  // Answers 401, 403 or 503 in place of the routes.
  app.use("/api/*", offswitch(verifier, { scopes: ["read"] }));
  app.get("/api/me", (c) => c.json({ sub: c.get("offswitch").claims.sub }));
  return app;
}
