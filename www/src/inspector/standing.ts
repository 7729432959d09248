// The state of a token in words: what its text says without keys, and what a verdict adds.

import { relativeTime } from "../shared/format";
import type { Decoded } from "./decode";
import { decisiveStep, isGoodInItself, nameOf } from "./explain";
import { numberMember, textMember } from "./json";
import { timeOf } from "./times";
import type { Verified } from "./use-verification";

export interface Standing {
  tone: "bad" | "good" | "unknown";
  /** Also shown next to the decoded parts. */
  title: string;
  sentence: string;
}

export function standingOf(
  decoded: Decoded,
  verified: Verified,
  hasFeed: boolean,
  nowSeconds: number,
): Standing {
  if (decoded.form === "empty") {
    return unknown("No token", "Paste one above. It is read in this tab and sent nowhere.");
  }
  if (decoded.form !== "jws") return unknown("Not verifiable", NOT_VERIFIABLE[decoded.form]);
  if (verified.isBusy) return unknown("Verifying …", "The verifier is loading.");
  if (verified.judgement !== undefined) return ofJudgement(verified.judgement, hasFeed);
  const own = ofText(decoded, nowSeconds);
  return verified.problem === undefined ? own : { ...own, sentence: verified.problem };
}

/** What is certain without keys: no key makes such a token valid now. */
function ofText({ header, claims }: Decoded, nowSeconds: number): Standing {
  if (/^none$/i.test(textMember(header, "alg") ?? "")) {
    return bad("Unsigned", "Its alg is “none”: anyone can write such a token, and no API may accept it.");
  }
  const time = (name: string) => timeOf(numberMember(claims, name) ?? Number.NaN)?.seconds;
  const [exp, nbf, iat] = [time("exp"), time("nbf"), time("iat")];
  if (exp !== undefined && exp <= nowSeconds) {
    const sentence = "Its own exp claim says so. The signature is not checked yet.";
    return bad(`Expired ${relativeTime(exp, nowSeconds)}, not verified`, sentence);
  }
  const start = Math.max(nbf ?? 0, iat ?? 0);
  if (start > nowSeconds + LEEWAY_SECONDS) {
    const sentence = `Its own ${start === nbf ? "nbf" : "iat"} claim says so. The signature is not checked yet.`;
    return bad(`Not yet valid: ${relativeTime(start, nowSeconds)}`, sentence);
  }
  return unknown(
    "Decoded, not verified",
    "Anyone can write what is shown here. Only the issuer's keys show who did.",
  );
}

function ofJudgement({ verdict, steps = [] }: NonNullable<Verified["judgement"]>, hasFeed: boolean) {
  if (verdict.outcome === "valid") {
    const sentence = "The signature and the claims are good, and the feed does not revoke it.";
    return { tone: "good" as const, title: "Valid", sentence };
  }
  if (verdict.outcome === "refused") {
    const step = decisiveStep(steps);
    const rule = REVOKED[verdict.code];
    const since = step?.position ?? verdict.evidence.position;
    if (rule !== undefined) {
      return bad("Revoked", `${rule} (${verdict.code}), known by position ${since}.`);
    }
    const check = step === undefined ? "" : `${nameOf(step.check)}: `;
    return bad("Refused", `${check}${verdict.detail} (${verdict.code}).`);
  }
  const isGood = isGoodInItself(steps);
  if (isGood && !hasFeed) {
    const sentence = "The signature and the claims are good; without a feed it is unknown whether the token "
      + "was revoked.";
    return unknown("Signed, revocation unknown", sentence);
  }
  if (isGood && verdict.code === "no_snapshot") {
    const sentence = "The signature and the claims are good; no snapshot of the feed has arrived yet.";
    return unknown("Waiting for the feed", sentence);
  }
  return unknown("Undecided", `${verdict.detail} (${verdict.code}).`);
}

function bad(title: string, sentence: string): Standing {
  return { tone: "bad", title, sentence };
}

function unknown(title: string, sentence: string): Standing {
  return { tone: "unknown", title, sentence };
}

const NOT_VERIFIABLE = {
  jwe: "It is encrypted (JWE): only a holder of the key can read or check it.",
  opaque: "It is not a JWT: only its issuer knows what it means.",
};
const REVOKED: Record<string, string> = {
  revoked_claims: "Tokens with its claims were revoked",
  revoked_epoch: "The red button was pressed after it was issued",
  revoked_key: "The key that signed it was revoked",
  revoked_session: "Its session was revoked",
  revoked_token: "The token itself was revoked",
  revoked_user: "Its user was logged out everywhere after it was issued",
};
const LEEWAY_SECONDS = 30;
