// The edge worker: lets a request through to the upstream only with a token that is good now. A thin
// use of the package: its own are the settings, the way to the upstream and the cookie.

import { denial, problem, responseOf, withEvidence } from "./answers.js";
import { authorize, judge, readRoutePolicy } from "./authorize.js";
import { forward } from "./forward.js";
import { Handover } from "./handover.js";
import { pageFor } from "./page.js";
import { readEnv } from "./worker-config.js";
import { Verifier } from "./load-workerd.js";

export default {
  /**
   * @param {Request} request
   * @param {import("./worker-config.js").Env} env
   * @param {Context} context
   */
  async fetch(request, env, context) {
    const page = pageFor(request, env);
    if (page !== undefined) return page;
    isolate ??= start(env);
    if (!("verifier" in isolate)) {
      return responseOf(problem(503, "misconfigured", "the worker's settings are wrong"));
    }
    const { handover, policy, upstream, verifier } = isolate;
    const waitUntil = (/** @type {Promise<unknown>} */ work) => context.waitUntil(work);
    const aid = aidFor(isolate, waitUntil);
    if (handover?.owns(request)) return handover.route(request, aid);
    const header = request.headers.get("authorization");
    const isBearer = /^bearer /i.test(header ?? "");
    if (handover !== undefined && !isBearer) {
      const admitted = await handover.admit(request, aid);
      if (admitted instanceof Response) return admitted;
      const { token, verdict } = admitted;
      return withEvidence(await forward(request, upstream, verdict.claims, { token }), verdict);
    }
    const found = await authorize(verifier, header, policy, waitUntil);
    if ("problem" in found) {
      const answer = responseOf(found.problem);
      return found.verdict ? withEvidence(answer, found.verdict) : answer;
    }
    const made = await forward(request, upstream, found.verdict.claims, handover && {});
    return withEvidence(made, found.verdict);
  },
};

/**
 * @typedef {{ waitUntil(work: Promise<unknown>): void }} Context
 *
 * @typedef {object} Isolate
 * @property {Verifier} verifier
 * @property {URL} upstream
 * @property {ReturnType<typeof readRoutePolicy>} policy
 * @property {Handover | undefined} handover
 */

/**
 * What the requests of this isolate share: values, never promises.
 *
 * @type {Isolate | { problems: string[] } | undefined}
 */
let isolate;

/** @param {import("./worker-config.js").Env} env */
function start(env) {
  const read = readEnv(env);
  let problems = "problems" in read ? read.problems : [];
  if ("options" in read) {
    try {
      const handover = read.handover && new Handover(read.handover);
      const policy = readRoutePolicy({ retryJitterSeconds: read.jitterSeconds });
      return { upstream: read.upstream, handover, policy, verifier: new Verifier(read.options) };
    } catch (error) {
      problems = [/** @type {Error} */ (error).message];
    }
  }
  console.error(`misconfigured: ${problems.join("; ")}`);
  return { problems };
}

/**
 * What the handover needs of the worker for one request.
 *
 * @param {Isolate} isolate @param {(work: Promise<unknown>) => void} waitUntil
 * @returns {import("./handover.js").Aid}
 */
function aidFor({ policy, verifier }, waitUntil) {
  return {
    async judge(token) {
      const verdict = await judge(verifier, token);
      verifier.followLater(waitUntil);
      return verdict;
    },
    deny: (verdict) => withEvidence(responseOf(denial(verdict, policy.retryJitterSeconds)), verdict),
    waitUntil,
  };
}
