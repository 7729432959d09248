// Hono in a Worker: the verifiers come from the request's env, once per isolate. Workers do not resolve package
// names, so Hono is imported by its file.

import { Hono } from "../../node_modules/hono/dist/index.js";
import { offswitch } from "../../verifier-wasm/js/middleware/hono.js";
import { Verifier } from "../../verifier-wasm/js/loaders/workerd.js";
import { honoRoutes } from "./hono-routes.mjs";
import { makeVerifiers } from "./routes.mjs";

let verifiers;

export default honoRoutes(Hono, offswitch, (name) => async (c) => {
  verifiers ??= await makeVerifiers((options) => new Verifier(options), JSON.parse(c.env.GIVEN));
  return verifiers[name];
});
