// The body of `PUT /v1/issuers/{name}`: from the fields of a form, and back.

import type { Issuer } from "../shared/answers";

/** What is typed. Empty fields take the control plane's default. */
export interface IssuerDraft {
  name: string;
  issuer: string;
  preset: string;
  /** One per line: `tenant = 7f0c…`. */
  parameters: string;
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
  /** The clients whose logout tokens are accepted; none turns the receiver off. */
  logout_clients: string;
  logout_revokes: string;
  /** The receivers of security events and webhooks, as JSON: their tables are edited as they are. */
  receivers: string;
}

export const EMPTY: IssuerDraft = {
  name: "", issuer: "", preset: "", parameters: "", discovery_uri: "", jwks_uri: "", algorithms: "", horizon_seconds: "",
  clock_skew_seconds: "", token_id_claim: "", session_id_claim: "", user_id_claim: "", selectors: "",
  logout_clients: "", logout_revokes: "", receivers: "",
};

/** Checks what can be checked here. The control plane checks all of it. */
export function issuerBody(draft: IssuerDraft): { body: string } | { complaint: string } {
  const { name, algorithms, selectors } = draft;
  const [issuer, preset] = [draft.issuer.trim(), draft.preset.trim()];
  if (name === "") return { complaint: "Enter a name for the issuer first." };
  if (issuer === "" && preset === "") {
    return { complaint: "Enter the issuer first, the exact iss of its tokens, or a preset." };
  }
  const body: Record<string, unknown> = {};
  if (issuer !== "") body["issuer"] = issuer;
  const parameters = lines(draft.parameters).map((line) => line.split("="));
  const unnamed = parameters.find((parts) => parts.length < 2);
  if (unnamed) return { complaint: `Parameters: “${unnamed.join("=")}” needs a name: tenant = …` };
  if (preset !== "") body["preset"] = preset;
  if (parameters.length > 0) {
    const trimmed = parameters.map(([name, ...value]) => [name?.trim(), value.join("=").trim()]);
    body["parameters"] = Object.fromEntries(trimmed);
  }
  for (const field of NUMBERS) {
    const text = draft[field].trim();
    if (text === "") continue;
    if (!/^\d{1,9}$/.test(text)) return { complaint: `${field}: is not a whole number of seconds` };
    body[field] = Number(text);
  }
  for (const field of TEXTS) {
    const text = draft[field].trim();
    if (text !== "") body[field] = text === NONE ? "" : text;
  }
  const listed = algorithms.split(/[\s,]+/).filter(Boolean);
  if (listed.length > 0) body["algorithms"] = listed;
  const looked = lines(selectors).map((line) => line.split(/\s+\+\s+/));
  if (looked.length > 0) body["selectors"] = looked;
  const clients = draft.logout_clients.split(/[\s,]+/).filter(Boolean);
  const revokes = draft.logout_revokes.trim();
  let receivers: Record<string, unknown> = {};
  if (draft.receivers.trim() !== "") {
    try {
      receivers = { ...JSON.parse(draft.receivers) };
    } catch {
      return { complaint: "Other receivers: this is not JSON." };
    }
  }
  if (clients.length > 0) {
    receivers["backchannel_logout"] = { client_ids: clients, ...(revokes === "" ? {} : { revokes }) };
  }
  if (Object.keys(receivers).length > 0) body["receivers"] = receivers;
  return { body: JSON.stringify(body) };
}

/** The fields of a registered issuer, to change it. */
export function draftOf(one: Issuer): IssuerDraft {
  const { name, issuer, discovery_uri, jwks_uri, algorithms, selectors, receivers } = one;
  const { backchannel_logout: logout, ...others } = receivers;
  const isDefault = discovery_uri === `${issuer.replace(/\/+$/, "")}${WELL_KNOWN}`;
  return {
    name,
    issuer,
    // What it was registered with is what the preset said.
    preset: "",
    parameters: "",
    // The default address follows the issuer when that is changed.
    discovery_uri: isDefault ? "" : (discovery_uri ?? ""),
    jwks_uri: jwks_uri ?? "",
    algorithms: algorithms.join(" "),
    horizon_seconds: String(one.horizon_seconds),
    clock_skew_seconds: String(one.clock_skew_seconds),
    token_id_claim: one.token_id_claim || NONE,
    session_id_claim: one.session_id_claim || NONE,
    user_id_claim: one.user_id_claim || NONE,
    selectors: selectors.map((paths) => paths.join(" + ")).join("\n"),
    logout_clients: logout?.client_ids.join(" ") ?? "",
    logout_revokes: logout?.revokes ?? "",
    receivers: Object.keys(others).length > 0 ? JSON.stringify(others, null, 2) : "",
  };
}

function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

/** Typed for a claim that the tokens do not have; an empty field takes the default. */
const NONE = '""';
const NUMBERS = ["horizon_seconds", "clock_skew_seconds"] as const;
const TEXTS = [
  "discovery_uri", "jwks_uri", "token_id_claim", "session_id_claim", "user_id_claim",
] as const;
const WELL_KNOWN = "/.well-known/openid-configuration";
