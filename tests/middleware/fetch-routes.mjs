// The routes for every server of Fetch-style handlers: guard from "offswitch/guard".

import { OWN_STATUS, ROUTES, verdictBody, errorBody, undecidedBody } from "./routes.mjs";

/**
 * @param {typeof import("offswitch/guard").guard} guard
 * @param {(name: string) => any} verifierOf a verifier by its name, or the function that returns it
 * @returns {(request: Request, ...rest: any[]) => Promise<Response>} rejects if a handler fails
 */
export function guardedRoutes(guard, verifierOf) {
  const handlers = Object.entries(ROUTES).map(([path, { verifier, policy, decides, fails }]) => {
    const handler = async (request, verdict) => {
      if (fails) throw new Error("the handler failed");
      return Response.json(verdictBody(verdict, await request.text()));
    };
    const onUndecided = (verdict, request) => {
      if (decides === "fails") throw new Error("the own answer failed");
      const { pathname } = new URL(request.url);
      return Response.json(undecidedBody(verdict, pathname), { status: OWN_STATUS });
    };
    const rules = decides ? { ...policy, onUndecided } : policy;
    return [path, guard(verifierOf(verifier), handler, rules)];
  });
  const byPath = new Map(handlers);
  return async (request, ...rest) => byPath.get(new URL(request.url).pathname)(request, ...rest);
}

export const errorResponse = (error) => Response.json(errorBody(error), { status: 500 });
