// The edge worker: lets a request through to the upstream only with a token that is good now.
//
// Requests of one isolate share values (the verifier, times), never promises: a promise that waits
// for another request's I/O can hang for ever once that request is gone.

import { answer, refuse, withEvidence } from "./worker-answers.js";
import { readEnv } from "./worker-config.js";
import { Verifier } from "./load-workerd.js";

export default {
  /**
   * @param {Request} request
   * @param {import("./worker-config.js").Env} env
   * @param {{ waitUntil(work: Promise<unknown>): void }} context
   */
  async fetch(request, env, context) {
    isolate ??= start(env);
    if (!("verifier" in isolate)) {
      return answer(503, "misconfigured", "the worker's settings are wrong");
    }
    const { verifier, upstream } = isolate;
    const token = bearerToken(request.headers);
    if (token === undefined) return refuse("missing_token", "a bearer token is needed");
    const verdict = await judge(verifier, token);
    followLater(isolate, context);
    if (verdict.outcome === "valid") {
      return withEvidence(await forward(request, upstream, verdict.claims), verdict);
    }
    const made = verdict.outcome === "refused"
      ? refuse(verdict.code, verdict.detail)
      : answer(503, verdict.code, verdict.detail);
    return withEvidence(made, verdict);
  },
};

/** @typedef {{ verifier: Verifier, upstream: URL, leaseUntil: number }} Isolate */

/** What the requests of this isolate share. @type {Isolate | { problems: string[] } | undefined} */
let isolate;

/** @param {import("./worker-config.js").Env} env */
function start(env) {
  const read = readEnv(env);
  let problems = "problems" in read ? read.problems : [];
  if ("options" in read) {
    try {
      return { verifier: new Verifier(read.options), upstream: read.upstream, leaseUntil: 0 };
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
 * @param {Isolate} isolate
 * @param {{ waitUntil(work: Promise<unknown>): void }} context
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

/**
 * Sends the request on as it came, with the verified claims in a header that only this worker can
 * set.
 *
 * @param {Request} request @param {URL} upstream @param {Record<string, any>} claims
 */
async function forward(request, upstream, claims) {
  const { pathname, search } = new URL(request.url);
  const target = new URL(upstream);
  target.pathname = target.pathname.replace(/\/$/, "") + pathname;
  target.search = search;
  const headers = new Headers(request.headers);
  for (const name of [...headers.keys()]) {
    // Some servers read "_" as "-".
    if (name.toLowerCase().replaceAll("_", "-").startsWith("offswitch-")) headers.delete(name);
  }
  headers.set("offswitch-claims", base64url(JSON.stringify(claims)));
  try {
    return await fetch(new Request(target, new Request(request, { headers, redirect: "manual" })));
  } catch {
    return answer(502, "upstream_unreachable", "the upstream did not answer");
  }
}

/** @param {string} text */
function base64url(text) {
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** How long a request that cannot be decided waits for the control plane. */
const CATCH_UP_MS = 5_000;
/** How long one poll may take. */
const POLL_MS = 5_000;
/** The least time between two long polls. */
const MIN_ROUND_MS = 100;
/** A Worker lives on for 30 s after its answer. */
const FOLLOW_MS = 25_000;
