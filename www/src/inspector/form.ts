// All that can be typed into the inspector. It lives in memory and nowhere else.

import type { Decoded } from "./decode";
import { member, textMember, type Json } from "./json";
import type { SecretEncoding } from "./keys";
import type { Expected, Subject } from "./verification";

export interface Form {
  token: string;
  /** The token to compare with. */
  other: string;
  keysText: string;
  secretEncoding: SecretEncoding;
  /** Where keys are looked up; undefined for the token's `iss`, as with the expectations. */
  keysFrom?: string;
  issuer?: string;
  audience?: string;
  types?: string;
  leewaySeconds: string;
  followsFeed: boolean;
  feedUrl: string;
  feedPublicKeys: string;
  feedId: string;
  apiKey: string;
}

export type Change = (fields: Partial<Form>) => void;

export const EMPTY_FORM: Form = {
  token: "",
  other: "",
  keysText: "",
  secretEncoding: "text",
  leewaySeconds: "30",
  followsFeed: false,
  feedUrl: "",
  feedPublicKeys: "",
  feedId: "",
  apiKey: "",
};

/** Nothing is expected but what the token says of itself. */
export const AS_THE_TOKEN_SAYS = { issuer: undefined, audience: undefined, types: undefined };

/** What the API would expect: what was typed, else what the token says of itself. */
export function expectedOf(form: Form, { header, claims }: Decoded): Expected {
  return {
    issuer: form.issuer ?? textMember(claims, "iss") ?? "",
    audience: form.audience ?? audiencesOf(member(claims, "aud")),
    types: form.types ?? textMember(header, "typ") ?? "",
    leewaySeconds: form.leewaySeconds,
  };
}

export function subjectOf(form: Form, decoded: Decoded): Subject {
  const { feedUrl, feedPublicKeys, feedId, apiKey, followsFeed } = form;
  const hint = { alg: textMember(decoded.header, "alg"), kid: textMember(decoded.header, "kid") };
  return {
    token: decoded.token,
    hint,
    keysText: form.keysText,
    secretEncoding: form.secretEncoding,
    expected: expectedOf(form, decoded),
    feed: followsFeed
      ? { url: feedUrl.trim(), publicKeys: feedPublicKeys, id: feedId, apiKey }
      : undefined,
  };
}

/** What an example needs of the form: nothing of what was expected before it. */
export function exampleForm(example: { token: string; keysText: string }): Partial<Form> {
  return { ...AS_THE_TOKEN_SAYS, keysFrom: undefined, ...example, followsFeed: false };
}

function audiencesOf(aud: Json | undefined): string {
  if (aud?.kind === "string") return aud.value;
  if (aud?.kind !== "array") return "";
  return aud.items.flatMap((one) => (one.kind === "string" ? [one.value] : [])).join("\n");
}
