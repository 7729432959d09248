// Whether a request may pass, the same for every framework: a bearer token or one with a DPoP proof, its
// verdict, and the scopes that the route requires.

import { denial, insufficientScope, refusal } from "./answers.js";
import { invalid, readPolicy } from "../options.js";
import { INTERNALS, begin } from "../feed/internals.js";
import { RequestFollower } from "../feed/request-follower.js";

/**
 * @typedef {import("../verifier/verifier.js").Verifier} Verifier
 * @typedef {import("../index.d.ts").RoutePolicy} RoutePolicy
 * @typedef {Extract<import("../index.d.ts").Verdict, { outcome: "valid" }>} Valid
 *
 * @typedef {Extract<import("../index.d.ts").Verdict, { outcome: "undecided" }>} Undecided
 * @typedef {import("./answers.js").Problem} Problem
 *
 * @typedef {object} Asked What a request says, and what its runtime shows of it.
 * @property {(name: string) => string | null | undefined} header
 * @property {string} method
 * @property {(publicUrl?: string) => string} url that the client has asked for; empty where that is not known
 *
 * @typedef {{ pass: Valid, token: string }
 *   | { ask: (...handed: any[]) => unknown, answer: Problem, verdict: Undecided }
 *   | { answer: Problem, verdict?: import("../index.d.ts").Verdict }} Authorization
 *   `pass`: the request goes through; `ask`: the route's own `onUndecided` answers, or `answer` if it returns
 *   nothing (except with Express, where the return value is ignored); otherwise `answer` is the answer.
 *
 * @typedef {{ scheme: import("./answers.js").Scheme, token: string }} Shown
 */

/**
 * Reads a route's policy when the route is made, not at its first request.
 *
 * @param {RoutePolicy} [policy]
 * @returns {Required<Pick<RoutePolicy, "scopes" | "retryJitterSeconds">> & RoutePolicy}
 */
export function readRoutePolicy(policy = {}) {
  const { maxStaleness, onStale } = readPolicy(policy);
  const { onUndecided, retryJitterSeconds = 10, scopes = [] } = policy;
  const unknown = Object.keys(policy).find((name) => !NAMES.includes(name));
  if (unknown !== undefined) {
    throw invalid(`the policy's ${unknown} is unknown, expected one of ${NAMES.join(", ")}`);
  }
  if (!Array.isArray(scopes) || !scopes.every((scope) => typeof scope === "string" && SCOPE.test(scope))) {
    throw invalid("scopes must be an array of scope names");
  }
  if (!Number.isSafeInteger(retryJitterSeconds) || retryJitterSeconds < 0) {
    throw invalid("retryJitterSeconds must be a whole number of seconds >= 0");
  }
  if (onUndecided !== undefined && typeof onUndecided !== "function") {
    throw invalid("onUndecided must be a function");
  }
  return { maxStaleness, onStale, onUndecided, retryJitterSeconds, scopes };
}

/** Throws for a forgotten `await createVerifier`. @param {Verifier} verifier */
export function checkVerifier(verifier) {
  if (typeof verifier?.verify !== "function") throw invalid(EXPECTED_VERIFIER);
}

/**
 * Judges a request by its Authorization header (RFC 6750 section 2.1, RFC 9449 section 7.1). Returns without a
 * promise if nothing has to be awaited, as for nearly every request: for a remembered token.
 *
 * @param {Verifier} verifier
 * @param {Asked} request
 * @param {ReturnType<typeof readRoutePolicy>} policy
 * @param {(work: Promise<unknown>) => void} [waitUntil] where work may outlive the request
 * @returns {Authorization | Promise<Authorization>}
 */
export function authorize(verifier, request, policy, waitUntil) {
  const shown = shownIn(request.header("authorization"));
  if (shown === undefined) {
    return { answer: refusal("missing_token", "expected the header Authorization: Bearer <token>") };
  }
  const poll = firstPoll(verifier, waitUntil);
  if (poll === undefined && shown.scheme === "Bearer") {
    const known = verifier[INTERNALS].recall?.(shown.token, policy);
    if (known?.outcome === "valid") {
      if (waitUntil !== undefined) verifier.followLater(waitUntil);
      return conclusion(known, shown, policy);
    }
  }
  return authorizeLater(verifier, request, shown, policy, waitUntil, poll);
}

/**
 * @param {Verifier} verifier @param {Asked} request @param {Shown} shown
 * @param {ReturnType<typeof readRoutePolicy>} policy
 * @param {((work: Promise<unknown>) => void) | undefined} waitUntil @param {Promise<unknown> | undefined} poll
 */
async function authorizeLater(verifier, request, shown, policy, waitUntil, poll) {
  const { scheme, token } = shown;
  await inTime(poll);
  const dpop = scheme === "Bearer" ? undefined : {
    method: request.method,
    proof: request.header("dpop") ?? "",
    url: request.url(verifier[INTERNALS].publicUrl),
  };
  const verdict = await judge(verifier, token, { ...policy, dpop }, waitUntil);
  if (waitUntil !== undefined) verifier.followLater(waitUntil);
  return conclusion(verdict, shown, policy);
}

/**
 * @param {import("../index.d.ts").Verdict} verdict @param {Shown} shown
 * @param {ReturnType<typeof readRoutePolicy>} policy
 * @returns {Authorization}
 */
function conclusion(verdict, { scheme, token }, policy) {
  if (verdict.outcome !== "valid") {
    const answer = denial(verdict, policy.retryJitterSeconds, scheme);
    const { onUndecided } = policy;
    if (verdict.outcome === "refused" || onUndecided === undefined) return { answer, verdict };
    return { ask: (...handed) => onUndecided(verdict, ...handed), answer, verdict };
  }
  if (policy.scopes.length === 0) return { pass: verdict, token };
  const given = scopesOf(verdict.claims);
  const missing = policy.scopes.filter((wanted) => !given.includes(wanted));
  return missing.length === 0
    ? { pass: verdict, token }
    : { answer: insufficientScope(policy.scopes, missing, scheme), verdict };
}

/**
 * The text after the scheme and exactly one space, unchanged: blanks of any other kind are part of a token that
 * the verifier then finds malformed. Undefined for any other scheme, or without a token.
 *
 * @param {string | null | undefined} header
 * @returns {Shown | undefined}
 */
function shownIn(header) {
  const found = /^(bearer|dpop) (.*)$/is.exec(header ?? "");
  return found ? { scheme: /^d/i.test(found[1]) ? "DPoP" : "Bearer", token: found[2] } : undefined;
}

/**
 * The request of Node's `http`. Two headers of one name arrive as one with a comma between, which is no proof.
 * The client chooses Host: it must not become part of the path. Nor may dot segments, which routers keep and
 * URLs do not: a proof for their target is not valid for the requested route.
 *
 * @param {any} request @returns {Asked}
 */
export function askedOfNode({ headers, method, originalUrl, protocol, socket, url }) {
  // Express removes from `url` the path at which a router is mounted.
  const path = originalUrl ?? url;
  const host = headers[":authority"] ?? headers.host;
  const isHost = /^[\w.:[\]-]+$/.test(host);
  const seen = isHost ? `${protocol ?? (socket?.encrypted ? "https" : "http")}://${host}` : "";
  return {
    header: (name) => headers[name],
    method,
    url: (origin = seen) => (origin && path.startsWith("/") && !DOT_SEGMENT.test(path) ? origin + path : ""),
  };
}

/** The request of Fetch. @param {Request} request @returns {Asked} */
export function askedOfFetch(request) {
  return {
    header: (name) => request.headers.get(name),
    // Only a proof needs these, and some servers make them when they are read.
    get method() {
      return request.method;
    },
    url: (origin) => (origin === undefined ? request.url : origin + new URL(request.url).pathname),
  };
}

/**
 * The scopes of a token, as issuers write them: `scope` (RFC 8693 section 4.2), or `scp` as Okta and
 * Entra ID do; a string with spaces between them, or an array.
 *
 * @param {import("../index.d.ts").Claims} claims
 * @returns {unknown[]}
 */
function scopesOf({ scope, scp }) {
  return [scope, scp].flatMap((said) => (typeof said === "string" ? said.split(" ") : said));
}

/**
 * Makes requests follow the feed if nothing else follows it. If no work outlives the answer, a due poll runs
 * before it: the poll is returned.
 *
 * @param {Verifier} verifier @param {((work: Promise<unknown>) => void) | undefined} waitUntil
 */
function firstPoll(verifier, waitUntil) {
  verifier[INTERNALS].followBy((internals) => new RequestFollower(internals, true));
  return waitUntil === undefined ? verifier.followLater() : undefined;
}

/** Waits for a poll, for a limited time. @param {Promise<unknown> | undefined} poll */
async function inTime(poll) {
  if (poll === undefined) return;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((resume) => {
    timer = setTimeout(resume, LONGEST_POLL_MS);
  });
  await Promise.race([poll.catch(() => {}), late]);
  clearTimeout(timer);
}

/**
 * Judges a token. If nothing can be decided, this request polls the feed itself, within its own time limit; the
 * feed client's backoff limits the requests to a control plane that is down.
 *
 * @param {Verifier} verifier @param {string} token @param {import("../index.d.ts").Policy & import("../index.d.ts").Shown} [policy]
 * @param {(work: Promise<unknown>) => void} [waitUntil]
 */
export async function judge(verifier, token, policy, waitUntil) {
  const timeoutSeconds = CATCH_UP_SECONDS;
  const verdict = await verifier.verify(token, { ...policy, timeoutSeconds, waitUntil });
  // The feed has no keys, and these were just searched for.
  if (verdict.outcome !== "undecided" || verdict.code === "keys_unavailable") return verdict;
  // A feed that has just answered has nothing newer for the next request.
  const all = verifier[INTERNALS];
  const internals = all.of?.(verdict) ?? all;
  if (internals.feed.secondsSinceRound >= PAUSE_SECONDS) await begin(internals, { timeoutSeconds, waitUntil });
  return verifier.verifySync(token, policy);
}

/** A slash or a backslash, which URLs treat as a slash; before the query. */
const DOT_SEGMENT = /^[^?#]*(\/(\.|%2e){1,2}(?![^/?#])|\\)/i;
const EXPECTED_VERIFIER = "expected a Verifier; did you forget `await createVerifier(…)`?";
const NAMES = ["maxStaleness", "onStale", "onUndecided", "retryJitterSeconds", "scopes"];
/** The shortest time between two polls by requests of a feed that answers, but with snapshots that are too old. */
const PAUSE_SECONDS = 0.5;
/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
/** How long a request waits for a due poll, if the poll cannot run after the answer. */
const LONGEST_POLL_MS = 1_000;
/** How long an undecided request waits for the control plane. */
const CATCH_UP_SECONDS = 5;
