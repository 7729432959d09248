import { createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { options } from "./options.js";

const verifier = await createVerifier(options(Deno.env.toObject()));
const handle = guard(verifier, (request, { claims }) => Response.json({ sub: claims.sub }), { scopes: ["read"] });
Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")) }, handle);
