// The body of `PUT /v1/issuers/{name}`: from the fields of a form, and back.

import type { Issuer } from "../shared/answers";

/** What is typed. Empty fields take the control plane's default. */
export interface IssuerDraft {
  name: string;
  issuer: string;
  discovery_uri: string;
  jwks_uri: string;
  algorithms: string;
  horizon_seconds: string;
  clock_skew_seconds: string;
  token_id_claim: string;
  session_id_claim: string;
  user_id_claim: string;
  /** One per line. */
  selectors: string;
}

export const EMPTY: IssuerDraft = {
  name: "", issuer: "", discovery_uri: "", jwks_uri: "", algorithms: "", horizon_seconds: "",
  clock_skew_seconds: "", token_id_claim: "", session_id_claim: "", user_id_claim: "", selectors: "",
};

/** Checks what can be checked here. The control plane checks all of it. */
export function issuerBody(draft: IssuerDraft): { body: string } | { complaint: string } {
  const { name, issuer, algorithms, selectors } = draft;
  if (name === "") return { complaint: "Enter a name for the issuer first." };
  if (issuer === "") return { complaint: "Enter the issuer first: the exact iss of its tokens." };
  const body: Record<string, unknown> = { issuer };
  for (const field of NUMBERS) {
    const text = draft[field].trim();
    if (text === "") continue;
    if (!/^\d{1,9}$/.test(text)) return { complaint: `${field}: is not a whole number of seconds` };
    body[field] = Number(text);
  }
  for (const field of TEXTS) {
    const text = draft[field].trim();
    if (text !== "") body[field] = text;
  }
  const listed = algorithms.split(/[\s,]+/).filter(Boolean);
  if (listed.length > 0) body["algorithms"] = listed;
  const lines = selectors.split("\n").map((line) => line.trim()).filter(Boolean);
  if (lines.length > 0) body["selectors"] = lines.map((line) => line.split(/\s+\+\s+/));
  return { body: JSON.stringify(body) };
}

/** The fields of a registered issuer, to change it. */
export function draftOf(one: Issuer): IssuerDraft {
  const { name, issuer, discovery_uri, jwks_uri, algorithms, selectors } = one;
  const isDefault = discovery_uri === `${issuer.replace(/\/+$/, "")}${WELL_KNOWN}`;
  return {
    name,
    issuer,
    // The default address follows the issuer when that is changed.
    discovery_uri: isDefault ? "" : (discovery_uri ?? ""),
    jwks_uri: jwks_uri ?? "",
    algorithms: algorithms.join(" "),
    horizon_seconds: String(one.horizon_seconds),
    clock_skew_seconds: String(one.clock_skew_seconds),
    token_id_claim: one.token_id_claim,
    session_id_claim: one.session_id_claim,
    user_id_claim: one.user_id_claim,
    selectors: selectors.map((paths) => paths.join(" + ")).join("\n"),
  };
}

const NUMBERS = ["horizon_seconds", "clock_skew_seconds"] as const;
const TEXTS = [
  "discovery_uri", "jwks_uri", "token_id_claim", "session_id_claim", "user_id_claim",
] as const;
const WELL_KNOWN = "/.well-known/openid-configuration";
