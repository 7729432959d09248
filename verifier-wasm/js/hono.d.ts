import type { MiddlewareHandler } from "hono";
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
  verifier: Verifier | ((c: any) => Verifier | Promise<Verifier>),
  policy?: RoutePolicy,
): MiddlewareHandler;
