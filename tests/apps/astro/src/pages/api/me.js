import { createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { options } from "../../../options.js";

let verifier;
const handle = guard(
  () => (verifier ??= createVerifier(options(process.env))),
  (request, { claims }) => Response.json({ sub: claims.sub }),
  { scopes: ["read"] },
);
export const GET = ({ request }) => handle(request);
