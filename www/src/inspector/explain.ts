// Names and questions for the checks of the verifier, in the order in which it makes them.

import type { Step } from "offswitch";

export type Check = Step["check"];
export type { Step };

/** The check that decides the verdict: the first that did not pass. */
export function decisiveStep(steps: Step[]): Step | undefined {
  return steps.find(({ result }) => result === "refused" || result === "undecided");
}

/** True if signature and claims are good, before anything about revocation. */
export function isGoodInItself(steps: Step[]): boolean {
  const own = steps.slice(0, CHECKS.indexOf("revoked_key"));
  return own.length > 0 && own.every(({ result }) => result === "passed");
}

/** True if the signature was checked and is good. */
export function isSigned(steps: Step[]): boolean {
  return steps.some(({ check, result }) => check === "signature" && result === "passed");
}

export function nameOf(check: Check): string {
  return NAMES[check]?.[0] ?? String(check);
}

export function questionOf(check: Check): string {
  return NAMES[check]?.[1] ?? "";
}

const NAMES: Record<Check, [name: string, question: string]> = {
  format: ["Format", "Are there three segments of base64url, and a header that is safe to read?"],
  algorithm: ["Algorithm", "Is the algorithm accepted here?"],
  key: ["Key", "Is there a trusted key with the kid and the algorithm of the header?"],
  signature: ["Signature", "Was exactly this header and payload signed with that key?"],
  claims: ["Claims", "Is the payload JSON, each name unique, each known claim of its type?"],
  type: ["Type", "Is it the type of token that the API expects?"],
  issuer: ["Issuer", "Is it from the issuer that the key belongs to?"],
  audience: ["Audience", "Is it meant for this API?"],
  required_claims: ["Required claims", "Are all claims present that the API requires?"],
  expiry: ["Expiry", "Is exp in the future, and does the token live no longer than it may?"],
  start: ["Start", "Has the token become valid?"],
  revoked_key: ["Signing key", "Is the key that signed it not revoked?"],
  epoch: ["Epoch", "Was it issued after the last press of the red button?"],
  token: ["This token", "Is the token itself not revoked?"],
  session: ["Session", "Is its session not revoked?"],
  user: ["User", "Was the user not logged out everywhere after it was issued?"],
  selectors: ["Other claims", "Are its claims not revoked, alone or in combination?"],
  binding: ["Binding", "May every client show it, or is it bound to a key (cnf)?"],
  freshness: ["Freshness", "Is the feed fresh enough to know?"],
};
const CHECKS = Object.keys(NAMES) as Check[];
