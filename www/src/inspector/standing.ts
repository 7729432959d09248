// Where a token stands, in words. Only a verdict with a feed makes one "alive".

import type { Decoded } from "./decode";
import { decisiveStep, holdsByItself, nameOf } from "./explain";
import type { Verified } from "./use-verification";

export interface Standing {
  tone: "bad" | "good" | "unknown";
  /** Shown beside the decoded parts as well. */
  title: string;
  sentence: string;
}

export function standingOf(decoded: Decoded, verified: Verified, hasFeed: boolean): Standing {
  if (decoded.form === "empty") {
    return unknown("No token", "Paste one above. It is read in this tab and sent nowhere.");
  }
  if (decoded.form !== "jws") return unknown("Not verifiable", NOT_VERIFIABLE[decoded.form]);
  if (verified.isBusy) return unknown("Verifying …", "The verifier is being loaded.");
  if (verified.problem !== undefined) return unknown("Decoded, not verified", verified.problem);
  if (verified.judgement === undefined) {
    const sentence = "Anyone can write what is shown here. Only the issuer's keys tell who did.";
    return unknown("Decoded, not verified", sentence);
  }
  return ofJudgement(verified.judgement, hasFeed);
}

function ofJudgement({ verdict, steps }: NonNullable<Verified["judgement"]>, hasFeed: boolean) {
  if (verdict.outcome === "valid") {
    const sentence = "Signature and claims hold, and nothing that the feed tells revokes it.";
    return { tone: "good" as const, title: "Verified and alive", sentence };
  }
  if (verdict.outcome === "refused") {
    const step = decisiveStep(steps);
    const rule = REVOKED[verdict.code];
    const since = step?.position ?? verdict.evidence.position;
    if (rule !== undefined) {
      const sentence = `${rule} (${verdict.code}), known by position ${since}.`;
      return { tone: "bad" as const, title: "Revoked", sentence };
    }
    const check = step === undefined ? "" : `${nameOf(step.check)}: `;
    const sentence = `${check}${verdict.detail} (${verdict.code}).`;
    return { tone: "bad" as const, title: "Refused", sentence };
  }
  const holds = holdsByItself(steps);
  if (holds && !hasFeed) {
    const sentence = "Signature and claims hold; whether it was revoked is unknown without a feed.";
    return unknown("Signed, revocation unknown", sentence);
  }
  if (holds && verdict.code === "no_snapshot") {
    return unknown("Waiting for the feed", "Signature and claims hold; the feed has not told yet.");
  }
  return unknown("Undecided", `${verdict.detail} (${verdict.code}).`);
}

function unknown(title: string, sentence: string): Standing {
  return { tone: "unknown", title, sentence };
}

const NOT_VERIFIABLE = {
  jwe: "It is encrypted (JWE): only who has the key can read or check it.",
  opaque: "It is no JWT: only its issuer knows what it means.",
};
const REVOKED: Record<string, string> = {
  revoked_epoch: "The red button was pressed after it was issued",
  revoked_key: "The key that signed it was declared dead",
  revoked_session: "Its session was ended",
  revoked_token: "The token itself was revoked",
  revoked_user: "Its user was logged out everywhere after it was issued",
};
