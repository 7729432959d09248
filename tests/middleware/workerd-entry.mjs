// guard in a Worker: the verifiers come from the request's env, once per isolate.

import { guard } from "../../verifier-wasm/js/middleware/guard.js";
import { Verifier } from "../../verifier-wasm/js/loaders/workerd.js";
import { errorResponse, guardedRoutes } from "./fetch-routes.mjs";
import { makeVerifiers } from "./routes.mjs";

let verifiers;

const handle = guardedRoutes(guard, (name) => async (request, env) => {
  verifiers ??= await makeVerifiers((options) => new Verifier(options), JSON.parse(env.GIVEN));
  return verifiers[name];
});

export default {
  fetch: (request, env, context) => handle(request, env, context).catch(errorResponse),
};
