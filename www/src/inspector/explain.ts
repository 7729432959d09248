// Why a token is good or is not, check by check, in the order in which the verifier asks them.

import type { Step, Verdict, Verifier } from "offswitch";

export type Check = Step["check"];
export type { Step };

/** Every check; where the package cannot explain, what follows from the verdict's code alone. */
export function explain(verifier: Verifier, token: string, verdict: Verdict): Step[] {
  try {
    return verifier.explain(token);
  } catch {
    // A verdict there is even where the verifier itself has failed.
    return stepsOf(verdict);
  }
}

/** What a verdict says of each check: those before its own passed, those after were not asked. */
export function stepsOf(verdict: Verdict): Step[] {
  if (verdict.outcome === "valid") return CHECKS.map((check) => ({ check, result: "passed" }));
  const { code, detail, outcome } = verdict;
  const at = CHECKS.indexOf(checkOf(code, detail));
  return CHECKS.map((check, index) => {
    if (index === at) return { check, result: outcome, code, detail };
    // Without a snapshot nothing that was revoked is known of, so none of it was ruled out.
    const isOpen = code === "no_snapshot" && index > CHECKS.indexOf("start") && index < at;
    if (isOpen) return { check, result: "undecided", code, detail };
    return { check, result: index < at ? "passed" : "not_reached" };
  });
}

/** The check that speaks for the verdict: the first that did not pass. */
export function decisiveStep(steps: Step[]): Step | undefined {
  return steps.find(({ result }) => result === "refused" || result === "undecided");
}

/** True if signature and claims hold, whatever was or was not revoked. */
export function holdsByItself(steps: Step[]): boolean {
  const own = steps.slice(0, CHECKS.indexOf("revoked_key"));
  return own.length > 0 && own.every(({ result }) => result === "passed");
}

export function nameOf(check: Check): string {
  return NAMES[check]?.[0] ?? String(check);
}

export function questionOf(check: Check): string {
  return NAMES[check]?.[1] ?? "";
}

function checkOf(code: string, detail: string): Check {
  if (code === "malformed") {
    const isOfClaims = /\b(aud|exp|nbf|iat|iss|sub|ver)\b|payload|claims/.test(detail);
    return isOfClaims && !detail.includes("content is not JSON") ? "claims" : "format";
  }
  return BY_CODE[code] ?? "freshness";
}

const NAMES: Record<Check, [name: string, question: string]> = {
  format: ["Format", "Are there three segments of base64url, and a header that is safe to read?"],
  algorithm: ["Algorithm", "Is the algorithm one that is accepted here?"],
  key: ["Key", "Is there a trusted key of the name and algorithm in the header?"],
  signature: ["Signature", "Was exactly this header and payload signed with that key?"],
  claims: ["Claims", "Is the payload JSON, every name once, every known claim of its type?"],
  type: ["Type", "Is it the type of token that the API expects?"],
  issuer: ["Issuer", "Is it by the issuer that the key belongs to?"],
  audience: ["Audience", "Is it meant for this API?"],
  required_claims: ["Required claims", "Are all claims there that the API insists on?"],
  expiry: ["Expiry", "Is its end still to come?"],
  start: ["Start", "Has it begun to be valid?"],
  revoked_key: ["Signing key", "Is the key that signed it still alive?"],
  epoch: ["Epoch", "Was it issued after the last press of the red button?"],
  token: ["This token", "Is the token itself not revoked?"],
  session: ["Session", "Is the login that it belongs to not revoked?"],
  user: ["User", "Was the user not logged out everywhere after it was issued?"],
  freshness: ["Freshness", "Is the feed fresh enough to tell?"],
};
export const CHECKS = Object.keys(NAMES) as Check[];

const BY_CODE: Record<string, Check> = {
  bad_signature: "signature",
  expired: "expiry",
  feed_fork: "freshness",
  missing_claim: "required_claims",
  keys_unavailable: "key",
  no_keys: "key",
  no_snapshot: "freshness",
  not_yet_valid: "start",
  revoked_epoch: "epoch",
  revoked_key: "revoked_key",
  revoked_session: "session",
  revoked_token: "token",
  revoked_user: "user",
  stale_snapshot: "freshness",
  unknown_key: "key",
  unsupported_algorithm: "algorithm",
  verifier_failed: "format",
  wrong_audience: "audience",
  wrong_issuer: "issuer",
  wrong_type: "type",
};
