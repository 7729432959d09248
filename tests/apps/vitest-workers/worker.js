import { guard } from "offswitch/guard";

export const makeWorker = (verifier) => ({
  fetch: guard(verifier, (request, { claims }) => Response.json({ sub: claims.sub }), { scopes: ["read"] }),
});
