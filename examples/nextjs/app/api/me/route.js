import { guard } from "offswitch/guard";
import { verifier } from "../../../lib/verifier.js";

export const dynamic = "force-dynamic";

// Answers 401, 403 or 503 in place of the handler.
export const GET = guard(
  verifier,
  (request, { claims }) => Response.json({ sub: claims.sub }),
  { scopes: ["read"] },
);
