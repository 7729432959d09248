import type { RoutePolicy, Verdict, Verifier } from "offswitch";

type Valid = Extract<Verdict, { outcome: "valid" }>;

/**
 * Lets only requests with a token that is valid now through. The answer comes without a promise if nothing has to
 * be awaited.
 */
export function guard<Rest extends unknown[]>(
  verifier: Verifier | ((request: Request, ...rest: Rest) => Verifier | Promise<Verifier>),
  handler: (request: Request, verdict: Valid, ...rest: Rest) => Response | Promise<Response>,
  policy?: RoutePolicy<[request: Request, ...rest: Rest]>,
): (request: Request, ...rest: Rest) => Response | Promise<Response>;
