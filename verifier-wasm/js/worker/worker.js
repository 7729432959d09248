// The edge worker: lets a request through to the upstream only with a token that is valid now. It uses the
// package, and adds the settings, the connection to the upstream and the cookie.

import { denial, problem, responseOf, withEvidence } from "../middleware/answers.js";
import { askedOfFetch, authorize, judge, readRoutePolicy } from "../middleware/authorize.js";
import { combine } from "../feeds/feeds.js";
import { forward } from "./forward.js";
import { Handover } from "./handover/routes.js";
import { pageFor } from "./page.js";
import { readEnv } from "./config.js";
import { Verifier } from "../loaders/workerd.js";
import { ownAnswer, pageAnswer } from "./headers.js";
import { watchedAnswer } from "./stream.js";
import { Watch } from "./watch.js";
import { relayWebSocket } from "./web-socket.js";

export default {
  /**
   * @param {Request} request
   * @param {import("./config.js").Env} env
   * @param {Context} context
   */
  async fetch(request, env, context) {
    const page = await pageFor(request, env);
    if (page !== undefined) return pageAnswer(request, page);
    isolate ??= start(env);
    if (!("verifier" in isolate)) {
      const detail = "the worker's settings are wrong; its log names each of them";
      return ownAnswer(request, responseOf(problem(503, "misconfigured", detail)));
    }
    const { handover, policy, verifier } = isolate;
    const waitUntil = (/** @type {Promise<unknown>} */ work) => context.waitUntil(work);
    const aid = aidFor(isolate, waitUntil);
    if (handover?.owns(request)) return ownAnswer(request, await handover.route(request, aid));
    const header = request.headers.get("authorization") ?? "";
    if (handover !== undefined && !/^(bearer|dpop)( |$)/i.test(header)) {
      const admitted = await handover.admit(request, aid);
      if (admitted instanceof Response) return ownAnswer(request, admitted);
      return passOn(request, isolate, admitted, "used", waitUntil);
    }
    const found = await authorize(verifier, askedOfFetch(request), policy, waitUntil);
    if ("pass" in found) return passOn(request, isolate, found, handover ? "removed" : "none", waitUntil);
    const answer = ownAnswer(request, responseOf(found.answer));
    return found.verdict ? withEvidence(answer, found.verdict) : answer;
  },
};

/**
 * @typedef {{ waitUntil(work: Promise<unknown>): void }} Context
 *
 * @typedef {object} Isolate
 * @property {import("../middleware/authorize.js").Verifier} verifier
 * @property {URL} upstream
 * @property {ReturnType<typeof readRoutePolicy>} policy
 * @property {Handover | undefined} handover
 */

/**
 * The state that the requests of this isolate share: values, never promises.
 *
 * @type {Isolate | { problems: string[] } | undefined}
 */
let isolate;

/**
 * Forwards a request with a valid token, and watches the token until the answer has ended.
 *
 * @param {Request} request @param {Isolate} isolate
 * @param {{ pass: import("../middleware/authorize.js").Valid, token: string }} found
 * @param {"none" | "removed" | "used"} cookie @param {(work: Promise<unknown>) => void} waitUntil
 */
async function passOn(request, { policy, upstream, verifier }, { pass, token }, cookie, waitUntil) {
  const watch = new Watch(verifier, token, waitUntil);
  const answering = forward(request, upstream, token, cookie);
  const response = await watch.race(answering);
  // The upstream may have taken some time.
  const ended = watch.look();
  if (ended !== undefined) {
    void answering.then(discard);
    const answer = responseOf(denial(ended, policy.retryJitterSeconds));
    return withEvidence(ownAnswer(request, answer), ended);
  }
  if (response === undefined) {
    watch.stop();
    const detail = "the upstream did not answer; try again later";
    const answer = responseOf(problem(502, "upstream_unreachable", detail));
    return withEvidence(ownAnswer(request, answer), pass);
  }
  if (response.status === 101) return relayWebSocket(response, watch);
  return withEvidence(watchedAnswer(response, watch), pass);
}

/** Ends an answer of the upstream that is not passed on. @param {Response | undefined} response */
function discard(response) {
  const webSocket = /** @type {any} */ (response)?.webSocket;
  webSocket?.accept();
  webSocket?.close(POLICY_VIOLATION);
  void response?.body?.cancel().catch(() => {});
}

/** RFC 6455 section 7.4.1. */
const POLICY_VIOLATION = 1008;

/** @param {import("./config.js").Env} env */
function start(env) {
  const read = readEnv(env);
  let problems = "problems" in read ? read.problems : [];
  if ("options" in read) {
    try {
      const handover = read.handover && new Handover(read.handover);
      const policy = readRoutePolicy({ retryJitterSeconds: read.jitterSeconds });
      return { upstream: read.upstream, handover, policy, verifier: verifierFor(read) };
    } catch (error) {
      problems = [/** @type {Error} */ (error).message];
    }
  }
  console.error(`misconfigured: ${problems.join("; ")}`);
  return { problems };
}

/** @param {import("./config.js").Settings} settings @returns {import("../middleware/authorize.js").Verifier} */
function verifierFor({ options, others }) {
  const verifiers = [options, ...others].map((one) => new Verifier(one));
  return others.length === 0 ? verifiers[0] : /** @type {any} */ (combine(verifiers));
}

/**
 * The functions that the handover needs from the worker for one request.
 *
 * @param {Isolate} isolate @param {(work: Promise<unknown>) => void} waitUntil
 * @returns {import("./handover/routes.js").Aid}
 */
function aidFor({ policy, verifier }, waitUntil) {
  return {
    async judge(token) {
      const verdict = await judge(verifier, token, undefined, waitUntil);
      verifier.followLater(waitUntil);
      return verdict;
    },
    deny: (verdict) => withEvidence(responseOf(denial(verdict, policy.retryJitterSeconds)), verdict),
    waitUntil,
  };
}
