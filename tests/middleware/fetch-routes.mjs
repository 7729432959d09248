// The routes for whatever serves Fetch-style handlers: guard from "offswitch/guard".

import { OWN_STATUS, ROUTES, told, toldError, toldUndecided } from "./routes.mjs";

/**
 * @param {typeof import("offswitch/guard").guard} guard
 * @param {(name: string) => any} verifierOf a verifier, or the function that has it, by its name
 * @returns {(request: Request, ...rest: any[]) => Promise<Response>} rejects where a handler fails
 */
export function guardedRoutes(guard, verifierOf) {
  const handlers = Object.entries(ROUTES).map(([path, { verifier, policy, decides, fails }]) => {
    const handler = async (request, verdict) => {
      if (fails) throw new Error("the handler failed");
      return Response.json(told(verdict, await request.text()));
    };
    const onUndecided = (verdict, request) => {
      if (decides === "fails") throw new Error("the own answer failed");
      const { pathname } = new URL(request.url);
      return Response.json(toldUndecided(verdict, pathname), { status: OWN_STATUS });
    };
    const rules = decides ? { ...policy, onUndecided } : policy;
    return [path, guard(verifierOf(verifier), handler, rules)];
  });
  const byPath = new Map(handlers);
  return async (request, ...rest) => byPath.get(new URL(request.url).pathname)(request, ...rest);
}

export const errorResponse = (error) => Response.json(toldError(error), { status: 500 });
