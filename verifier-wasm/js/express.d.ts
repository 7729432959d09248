import type { RoutePolicy, Verdict, Verifier } from "offswitch";

declare global {
  namespace Express {
    interface Request {
      /** The verdict, behind `offswitch`; undecided only where `onUndecided` has called `next`. */
      offswitch?: Verdict;
    }
  }
}

/** A middleware; `request.offswitch` is the verdict. */
export function offswitch(
  verifier: Verifier,
  policy?: RoutePolicy,
): (request: any, response: any, next: (error?: unknown) => void) => Promise<void>;
