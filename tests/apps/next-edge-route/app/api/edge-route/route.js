import { Verifier } from "offswitch";
import { guard } from "offswitch/guard";
import { options } from "../../../options.js";

let verifier;
export const dynamic = "force-dynamic";
export const runtime = "edge";
export const GET = guard(
  () => (verifier ??= new Verifier(options(process.env))),
  (request, { claims }) => Response.json({ sub: claims.sub }),
  { scopes: ["read"] },
);
