// The edge worker: lets a request through to the upstream only with a token that is good now.
//
// Requests of one isolate share values (the verifier, times), never promises: a promise that waits
// for another request's I/O can hang for ever once that request is gone.

import { forward } from "./forward.js";
import { Handover } from "./handover.js";
import { answer, deny, refuse, withEvidence } from "./worker-answers.js";
import { readEnv } from "./worker-config.js";
import { Verifier } from "./load-workerd.js";

export default {
  /**
   * @param {Request} request
   * @param {import("./worker-config.js").Env} env
   * @param {Context} context
   */
  async fetch(request, env, context) {
    isolate ??= start(env);
    if (!("verifier" in isolate)) {
      return answer(503, "misconfigured", "the worker's settings are wrong");
    }
    const { handover, jitterSeconds, upstream } = isolate;
    const aid = aidFor(isolate, context);
    if (handover?.owns(request)) return handover.route(request, aid);
    const bearer = bearerToken(request.headers);
    if (bearer !== undefined) {
      const verdict = await aid.judge(bearer);
      if (verdict.outcome !== "valid") return deny(verdict, jitterSeconds);
      const made = await forward(request, upstream, verdict.claims, handover && {});
      return withEvidence(made, verdict);
    }
    if (handover === undefined) return refuse("missing_token", "a bearer token is needed");
    const admitted = await handover.admit(request, aid);
    if (admitted instanceof Response) return admitted;
    const { token, verdict } = admitted;
    return withEvidence(await forward(request, upstream, verdict.claims, { token }), verdict);
  },
};

/**
 * @typedef {{ waitUntil(work: Promise<unknown>): void }} Context
 *
 * @typedef {object} Isolate
 * @property {Verifier} verifier
 * @property {URL} upstream
 * @property {number} jitterSeconds
 * @property {Handover | undefined} handover
 * @property {number} leaseUntil one request is following the feed, milliseconds
 */

/** What the requests of this isolate share. @type {Isolate | { problems: string[] } | undefined} */
let isolate;

/** @param {import("./worker-config.js").Env} env */
function start(env) {
  const read = readEnv(env);
  let problems = "problems" in read ? read.problems : [];
  if ("options" in read) {
    try {
      const handover = read.handover && new Handover(read.handover);
      return { ...read, handover, verifier: new Verifier(read.options), leaseUntil: 0 };
    } catch (error) {
      problems = [/** @type {Error} */ (error).message];
    }
  }
  console.error(`misconfigured: ${problems.join("; ")}`);
  return { problems };
}

/** Only from the Authorization header (RFC 6750 section 2.1). @param {Headers} headers */
function bearerToken(headers) {
  return /^bearer +(.*)$/i.exec(headers.get("authorization") ?? "")?.[1].trim();
}

/**
 * What the handover needs of the worker for one request.
 *
 * @param {Isolate} isolate @param {Context} context @returns {import("./handover.js").Aid}
 */
function aidFor(isolate, context) {
  return {
    async judge(token) {
      const verdict = await judge(isolate.verifier, token);
      followLater(isolate, context);
      return verdict;
    },
    deny: (verdict) => deny(verdict, isolate.jitterSeconds),
    waitUntil: (work) => context.waitUntil(work),
  };
}

/**
 * Where nothing can be decided this request tries to catch up by itself, in its own time; the feed
 * client's backoff spares a control plane that is down.
 *
 * @param {Verifier} verifier @param {string} token
 */
async function judge(verifier, token) {
  const verdict = await verifier.verify(token, { timeoutSeconds: CATCH_UP_MS / 1000 });
  if (verdict.outcome !== "undecided") return verdict;
  await verifier.refresh({ timeoutSeconds: CATCH_UP_MS / 1000 });
  return verifier.verifySync(token);
}

/**
 * Follows the feed after the answer, where no other request does and a poll is due.
 *
 * @param {Isolate} isolate @param {Context} context
 */
function followLater(isolate, context) {
  const { lastRoundAt, longPollSeconds, pollSeconds } = isolate.verifier;
  const now = Date.now();
  const isDue = longPollSeconds > 0 || now / 1000 - lastRoundAt >= pollSeconds;
  if (isDue && now >= isolate.leaseUntil) context.waitUntil(follow(isolate, now + FOLLOW_MS));
}

/**
 * One poll, or long polls for as long as the platform lets a request live on. The lease is a time,
 * renewed for each poll: a request that is cut off holds nobody up once it has run out.
 *
 * @param {Isolate} isolate @param {number} until
 */
async function follow(isolate, until) {
  const { verifier } = isolate;
  for (;;) {
    const began = Date.now();
    const waitSeconds = Math.min(verifier.longPollSeconds, (until - began) / 1000);
    const lease = began + waitSeconds * 1000 + POLL_MS;
    isolate.leaseUntil = lease;
    const result = await verifier.refresh({ waitSeconds, timeoutSeconds: POLL_MS / 1000 });
    if (isolate.leaseUntil !== lease) return; // it ran out, and another request took over
    isolate.leaseUntil = 0;
    if (waitSeconds < 1 || !("applied" in result)) return;
    // A feed that answers at once however long it may wait is not asked without a pause.
    const pause = MIN_ROUND_MS - (Date.now() - began);
    if (pause > 0) {
      isolate.leaseUntil = Date.now() + POLL_MS;
      await new Promise((resume) => setTimeout(resume, pause));
    }
  }
}

/** How long a request that cannot be decided waits for the control plane. */
const CATCH_UP_MS = 5_000;
/** How long one poll may take. */
const POLL_MS = 5_000;
/** The least time between two long polls. */
const MIN_ROUND_MS = 100;
/** A Worker lives on for 30 s after its answer. */
const FOLLOW_MS = 25_000;
