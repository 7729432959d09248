import type { FastifyReply, FastifyRequest } from "fastify";
import type { RoutePolicy, Verdict, Verifier } from "offswitch";

declare module "fastify" {
  interface FastifyRequest {
    /** The verdict, behind `offswitch`. */
    offswitch?: Verdict;
  }
}

/** A hook for `onRequest`; `request.offswitch` is the verdict. */
export function offswitch(
  verifier: Verifier,
  policy?: RoutePolicy<[request: FastifyRequest, reply: FastifyReply]>,
): (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>;
