import { createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { options } from "../../../options.js";

let verifier;
export const dynamic = "force-dynamic";
export const GET = guard(
  () => (verifier ??= createVerifier(options(process.env))),
  (request, { claims }) => Response.json({ sub: claims.sub }),
  { scopes: ["read"] },
);
