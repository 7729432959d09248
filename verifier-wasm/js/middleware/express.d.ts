import type { IncomingMessage, ServerResponse } from "node:http";
import type { RoutePolicy, Verdict, Verifier } from "offswitch";

declare global {
  namespace Express {
    interface Request {
      /** The verdict, as `request.offswitch`; undecided only if `onUndecided` has called `next`. */
      offswitch?: Verdict;
    }
  }
}

type Handed = [
  request: IncomingMessage & { offswitch?: Verdict },
  response: ServerResponse,
  next: (error?: unknown) => void,
];

/** A middleware; `request.offswitch` is the verdict. */
export function offswitch(
  verifier: Verifier,
  policy?: RoutePolicy<Handed>,
): (...handed: Handed) => Promise<void>;
