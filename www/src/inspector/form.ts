// Everything that can be typed into the inspector. It is kept in memory only.

import type { Decoded } from "./decode";
import type { FeedFiles } from "./feed-files";
import { member, textMember, type Json } from "./json";
import { formOf, type SecretEncoding } from "./keys";
import type { Expected, FeedSource, Subject } from "./verification";

export interface Form {
  token: string;
  /** The token to compare with. */
  other: string;
  /** Keys, or the address of a key set; empty for the keys that the issuer publishes. */
  keysText: string;
  fetched?: FetchedKeys;
  secretEncoding: SecretEncoding;
  /** What is undefined is taken from the token. */
  issuer?: string;
  audience?: string;
  types?: string;
  leewaySeconds: string;
  /** Undefined to follow this control plane's own feed while the console is signed in. */
  followsFeed?: boolean;
  /** True to type the feed's address although there is an own feed. */
  usesOtherFeed: boolean;
  feedUrl: string;
  feedPublicKeys: string;
  feedId: string;
  apiKey: string;
  /** A feed file, in place of the address. */
  feedFile?: FeedFiles;
}

export interface FetchedKeys {
  /** The issuer or the address of the key set that they were fetched for. */
  for: string;
  /** The address they came from. */
  from: string;
  text: string;
}

export type Change = (fields: Partial<Form>) => void;

export const EMPTY_FORM: Form = {
  token: "",
  other: "",
  keysText: "",
  secretEncoding: "text",
  leewaySeconds: "30",
  usesOtherFeed: false,
  feedUrl: "",
  feedPublicKeys: "",
  feedId: "",
  apiKey: "",
};

/** Nothing is expected but what the token says of itself. */
export const AS_THE_TOKEN_SAYS = { issuer: undefined, audience: undefined, types: undefined };

/** What the API expects: what was typed, else what the token says of itself. */
export function expectedOf(form: Form, { header, claims }: Decoded): Expected {
  return {
    issuer: form.issuer ?? textMember(claims, "iss") ?? "",
    audience: form.audience ?? audiencesOf(member(claims, "aud")),
    types: form.types ?? textMember(header, "typ") ?? "",
    leewaySeconds: form.leewaySeconds,
  };
}

/** Where keys have to be fetched; undefined if they were pasted. */
export function keysAddressOf(form: Form, decoded: Decoded): string | undefined {
  const kind = formOf(form.keysText);
  if (kind === "address") return form.keysText.trim();
  return kind === "empty" ? expectedOf(form, decoded).issuer : undefined;
}

/** The fetched keys, if they are those that the form asks for now. */
export function fetchedOf(form: Form, decoded: Decoded): FetchedKeys | undefined {
  return form.fetched?.for === keysAddressOf(form, decoded) ? form.fetched : undefined;
}

export function followsFeed(form: Form, ownFeed: FeedSource | undefined): boolean {
  return form.followsFeed ?? ownFeed !== undefined;
}

export function subjectOf(form: Form, decoded: Decoded, ownFeed?: FeedSource): Subject {
  const hint = { alg: textMember(decoded.header, "alg"), kid: textMember(decoded.header, "kid") };
  const fetched = fetchedOf(form, decoded);
  return {
    token: decoded.token,
    hint,
    keysText: fetched?.text ?? form.keysText,
    areKeysFetched: fetched !== undefined,
    secretEncoding: form.secretEncoding,
    expected: expectedOf(form, decoded),
    feed: followsFeed(form, ownFeed) ? feedOf(form, ownFeed) : undefined,
  };
}

/** What an example needs of the form: nothing that was expected before. */
export function exampleForm(example: { token: string; keysText: string }): Partial<Form> {
  return { ...AS_THE_TOKEN_SAYS, ...example, followsFeed: false };
}

function feedOf(form: Form, ownFeed: FeedSource | undefined): FeedSource {
  if (ownFeed !== undefined && !form.usesOtherFeed) return ownFeed;
  const { feedUrl, feedPublicKeys, feedId, apiKey, feedFile } = form;
  return { url: feedUrl.trim(), publicKeys: feedPublicKeys, id: feedId, apiKey, files: feedFile };
}

function audiencesOf(aud: Json | undefined): string {
  if (aud?.kind === "string") return aud.value;
  if (aud?.kind !== "array") return "";
  return aud.items.flatMap((one) => (one.kind === "string" ? [one.value] : [])).join("\n");
}
