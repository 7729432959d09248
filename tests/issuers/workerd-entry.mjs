// A guarded Worker with the options of a test.

import { Verifier } from "../../verifier-wasm/js/loaders/workerd.js";
import { guard } from "../../verifier-wasm/js/middleware/guard.js";

let verifier;
const ofEnvironment = (_, env) => (verifier ??= new Verifier(JSON.parse(env.OPTIONS)));

export default { fetch: guard(ofEnvironment, (_, { claims }) => Response.json(claims)) };
