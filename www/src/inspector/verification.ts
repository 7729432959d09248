// Has a token judged by the package. It is loaded only when somebody asks, so that decoding paints
// first.

import type { ApplyResult, Verdict } from "offswitch";
import { explain, type Step } from "./explain";
import { messageOf } from "./issuer-keys";
import { readKeys, type Hint, type SecretEncoding } from "./keys";

/** Everything that a verdict depends on; another subject needs another verdict. */
export interface Subject {
  token: string;
  hint: Hint;
  keysText: string;
  secretEncoding: SecretEncoding;
  expected: Expected;
  feed?: FeedSource;
}

/** What the API would expect. */
export interface Expected {
  issuer: string;
  /** Empty for unchecked. */
  audience: string;
  /** Empty accepts a token without `typ`. */
  types: string;
  leewaySeconds: string;
}

export interface FeedSource {
  url: string;
  /** As typed: separated by white space or commas. */
  publicKeys: string;
  /** Empty for the issuer. */
  id: string;
  apiKey: string;
}

export interface Judgement {
  verdict: Verdict;
  steps: Step[];
  at: number;
}

export interface Verification {
  notes: string[];
  keys: unknown;
  judge(): Judgement;
  apply(bytes: Uint8Array): ApplyResult;
  since(): string | undefined;
  close(): void;
}

/** Answers with what judges the subject, or with why nothing can. */
export async function prepare(subject: Subject): Promise<Verification | { problem: string }> {
  const { token, hint, keysText, secretEncoding } = subject;
  if (token === "") return { problem: "There is no token yet." };
  const read = readKeys(keysText, secretEncoding, hint);
  if ("problem" in read) return { problem: read.problem };
  const missing = subject.feed && missingOf(subject.feed);
  if (missing !== undefined) return { problem: missing };
  try {
    const { Verifier, load } = await import("offswitch");
    loading ??= load().catch((error) => {
      loading = undefined;
      throw error;
    });
    await loading;
    const verifier = new Verifier(optionsOf(subject, read) as any);
    let [steps, stepsFor]: [Step[], string] = [[], ""];
    return {
      notes: read.notes,
      keys: read.jwks,
      judge() {
        const verdict = verifier.verifySync(token);
        // What is explained changes only with these; the age of the feed is shown by itself.
        const now = `${verdict.code} ${verdict.evidence.position}`;
        if (now !== stepsFor) [steps, stepsFor] = [explain(verifier, token, verdict), now];
        return { verdict, steps, at: Math.floor(Date.now() / 1000) };
      },
      apply: (bytes) => verifier.apply(bytes),
      since: () => verifier.since(),
      close: () => verifier.close(),
    };
  } catch (error) {
    return { problem: `The verifier cannot be set up so: ${messageOf(error)}` };
  }
}

function optionsOf(
  { expected, feed }: Subject,
  { jwks, algorithms }: { jwks: unknown; algorithms: string[] },
) {
  const { issuer, audience, types, leewaySeconds } = expected;
  const publicKeys = words(feed?.publicKeys ?? "");
  return {
    issuer: issuer || UNKNOWN_ISSUER,
    audience: audience.trim() === "" ? "unchecked" : lines(audience),
    keys: jwks,
    algorithms,
    types: types.trim() === "" ? [null] : words(types),
    requiredClaims: ["exp"],
    leewaySeconds: leewaySeconds.trim() === "" ? undefined : Number(leewaySeconds),
    clock: () => Date.now() / 1000,
    feed: feed === undefined
      ? { url: "https://feed.invalid/", publicKeys: [NOBODYS_KEY] }
      : { url: feed.url, publicKeys, ...(feed.id.trim() !== "" && { id: feed.id.trim() }) },
  };
}

function missingOf({ url, publicKeys }: FeedSource): string | undefined {
  if (url === "") return "The address of the feed is missing.";
  if (words(publicKeys).length > 0) return undefined;
  return "The public key of the feed is missing: without it anyone could speak for the feed.";
}

function words(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Audiences may hold spaces and commas; line breaks they do not. */
function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

let loading: Promise<void> | undefined;
/** A token without `iss` is refused by every issuer's rules. */
const UNKNOWN_ISSUER = "https://issuer.invalid";
/** Without a feed no snapshot ever comes, so every good token stays undecided. */
const NOBODYS_KEY = "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw";
