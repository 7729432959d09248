// Whether a request may go through, for every framework the same: a bearer token, its verdict, and
// what the route asks for beyond that.

import { denial, insufficientScope, refusal } from "./answers.js";
import { invalid, readPolicy } from "./options.js";

/**
 * @typedef {import("./verifier.js").Verifier} Verifier
 * @typedef {import("./index.d.ts").RoutePolicy} RoutePolicy
 * @typedef {Extract<import("./index.d.ts").Verdict, { outcome: "valid" }>} Valid
 *
 * @typedef {{ verdict: Valid } | { problem: import("./answers.js").Problem,
 *   verdict?: import("./index.d.ts").Verdict }} Authorization
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
  if (unknown !== undefined) throw invalid(`the policy's ${unknown} is unknown`);
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

/** Notices a forgotten `await createVerifier`. @param {Verifier} verifier */
export function checkVerifier(verifier) {
  if (typeof verifier?.verify !== "function") throw invalid("the verifier is none");
}

/**
 * Judges a request by its Authorization header (RFC 6750 section 2.1).
 *
 * @param {Verifier} verifier
 * @param {string | null | undefined} header
 * @param {ReturnType<typeof readRoutePolicy>} policy
 * @param {(work: Promise<unknown>) => void} [waitUntil] where work may outlive the request
 * @returns {Promise<Authorization>}
 */
export async function authorize(verifier, header, policy, waitUntil) {
  const token = /^bearer +(.*)$/i.exec(header ?? "")?.[1].trim();
  if (token === undefined) return { problem: refusal("missing_token", "a bearer token is needed") };
  const verdict = await judge(verifier, token, policy);
  if (waitUntil !== undefined) verifier.followLater(waitUntil);
  if (verdict.outcome !== "valid") {
    return { problem: denial(verdict, policy.retryJitterSeconds), verdict };
  }
  const { scope } = verdict.claims;
  const given = typeof scope === "string" ? scope.split(" ") : [];
  if (policy.scopes.every((wanted) => given.includes(wanted))) return { verdict };
  return { problem: insufficientScope(policy.scopes), verdict };
}

/**
 * Where nothing can be decided this request tries to catch up by itself, in its own time; the feed
 * client's backoff spares a control plane that is down.
 *
 * @param {Verifier} verifier @param {string} token @param {import("./index.d.ts").Policy} [policy]
 */
export async function judge(verifier, token, policy) {
  const timeoutSeconds = CATCH_UP_SECONDS;
  const verdict = await verifier.verify(token, { ...policy, timeoutSeconds });
  if (verdict.outcome !== "undecided") return verdict;
  // A feed that has answered just now has nothing newer for the next request.
  if (verifier.secondsSinceRound >= PAUSE_SECONDS) await verifier.refresh({ timeoutSeconds });
  return verifier.verifySync(token, policy);
}

const NAMES = ["maxStaleness", "onStale", "onUndecided", "retryJitterSeconds", "scopes"];
/** The least time between two requests that ask a feed which answers, but with what is too old. */
const PAUSE_SECONDS = 0.5;
/** RFC 6749 section 3.3. */
const SCOPE = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
/** How long a request that cannot be decided waits for the control plane. */
const CATCH_UP_SECONDS = 5;
