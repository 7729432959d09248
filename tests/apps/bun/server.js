import { createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { options } from "./options.js";

const verifier = await createVerifier(options(process.env));
const fetch = guard(verifier, (request, { claims }) => Response.json({ sub: claims.sub }), { scopes: ["read"] });
Bun.serve({ fetch, hostname: "127.0.0.1", port: Number(process.env.PORT) });
