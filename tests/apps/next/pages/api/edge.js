import { Verifier } from "offswitch";
import { guard } from "offswitch/guard";
import { options } from "../../options.js";

let verifier;
export const config = { runtime: "edge" };
export default guard(
  () => (verifier ??= new Verifier(options(process.env))),
  (request, { claims }) => Response.json({ sub: claims.sub }),
  { scopes: ["read"] },
);
