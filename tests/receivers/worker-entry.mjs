// A Worker that guards its one route; the verifier's options come from its env.

import { guard } from "../../verifier-wasm/js/middleware/guard.js";
import { Verifier } from "../../verifier-wasm/js/loaders/workerd.js";

let verifier;

export default {
  fetch: guard(
    (_, env) => (verifier ??= new Verifier(JSON.parse(env.OPTIONS))),
    (_, { claims }) => Response.json({ sub: claims.sub }),
  ),
};
