import type { Context, MiddlewareHandler } from "hono";
import type { RoutePolicy, Verdict, Verifier } from "offswitch";

type Valid = Extract<Verdict, { outcome: "valid" }>;

declare module "hono" {
  interface ContextVariableMap {
    /** The verdict, behind `offswitch`. */
    offswitch: Valid;
  }
}

/** A middleware; `c.get("offswitch")` is the verdict. */
export function offswitch(
  verifier: Verifier | ((c: Context) => Verifier | Promise<Verifier>),
  policy?: RoutePolicy<[request: Request, c: Context]>,
): MiddlewareHandler;
