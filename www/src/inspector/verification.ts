// Has a token judged by the package.

import type { Algorithm, ApplyResult, Verdict } from "offswitch";
import { messageOf } from "../shared/message";
import type { Step } from "./explain";
import { publishedFiles, type FeedFiles } from "./feed-files";
import { askPublicKeys } from "./feed-poll";
import type { FetchElsewhere } from "./issuer-keys";
import { jwksOf, type Hint, type SecretEncoding } from "./keys";
import { loadPackage } from "./package";

/** Everything that a verdict depends on; another subject needs another verdict. */
export interface Subject {
  token: string;
  hint: Hint;
  keysText: string;
  /** True if an issuer published the keys; false if they were pasted. */
  areKeysFetched: boolean;
  secretEncoding: SecretEncoding;
  expected: Expected;
  feed?: FeedSource;
}

/** What the API expects. */
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
  /** Separated by white space or commas; undefined to request them from the feed's control plane. */
  publicKeys?: string;
  /** Empty for the issuer. */
  id: string;
  apiKey: string;
  /** A file that was carried here, in place of the address. */
  files?: FeedFiles;
}

export interface Judgement {
  verdict: Verdict;
  /** Undefined if the verifier failed while it explained. */
  steps?: Step[];
  atSeconds: number;
}

export interface Verification {
  /** How the keys were read, and which were left out. */
  notes: string[];
  keys: unknown;
  judge(): Judgement;
  apply(bytes: Uint8Array): ApplyResult;
  since(): string | undefined;
  /** Of a feed as files: reads them again, and returns what went wrong. */
  readFiles?(): Promise<string | undefined>;
  close(): void;
}

/** Makes a verifier for the subject, or says why that is impossible. */
export async function prepare(
  subject: Subject,
  fetchElsewhere: FetchElsewhere,
): Promise<Verification | { problem: string }> {
  const { token, hint, keysText, areKeysFetched, secretEncoding } = subject;
  if (token === "") return { problem: "There is no token yet." };
  const pasted = jwksOf(keysText, secretEncoding, hint);
  if ("problem" in pasted) return pasted;
  const missing = subject.feed && missingOf(subject.feed);
  if (missing !== undefined) return { problem: missing };
  try {
    const { Verifier, readKeySet } = await loadPackage();
    const report = readKeySet(pasted.jwks, areKeysFetched, algorithms(hint.alg));
    if (report.problem !== undefined) return { problem: `Keys: ${report.problem}.` };
    const all = JSON.parse(pasted.jwks);
    const list: Array<Record<string, unknown>> = Array.isArray(all.keys) ? all.keys : [all];
    const used = list.filter((_, index) => report.keys.includes(index));
    const keys = used.map((key) => ({ alg: hint.alg, ...key }));
    if (used.some(({ alg }) => alg === undefined)) {
      pasted.notes.push(`A key names no alg; the token's is taken: ${hint.alg}.`);
    }
    const feed = subject.feed && await withPublicKeys(subject.feed, fetchElsewhere);
    const files = feed && (feed.files ?? publishedFiles(feed, fetchElsewhere));
    const verifier = new Verifier(optionsOf({ ...subject, feed }, keys, files) as any);
    return verificationOf(verifier, token, { keys }, files, [
      ...pasted.notes, ...report.dropped.map((reason) => `Not used: ${reason}.`),
    ]);
  } catch (error) {
    return { problem: `The verifier cannot be set up: ${messageOf(error)}` };
  }
}

function verificationOf(
  verifier: import("offswitch").Verifier,
  token: string,
  keys: unknown,
  files: FeedFiles | undefined,
  notes: string[],
): Verification {
  let [steps, stepsFor]: [Step[] | undefined, string] = [undefined, ""];
  return {
    notes,
    keys,
    judge() {
      const verdict = verifier.verifySync(token);
      // The steps change only with these; the age of the feed is shown elsewhere.
      const now = `${verdict.code} ${verdict.evidence.position}`;
      if (now !== stepsFor) [steps, stepsFor] = [explained(verifier, token), now];
      return { verdict, steps, atSeconds: Math.floor(Date.now() / 1000) };
    },
    apply: (bytes) => verifier.apply(bytes),
    since: () => verifier.since(),
    readFiles: files && (async () => {
      const result = await verifier.refresh();
      if ("skipped" in result) return verifier.status().feed.lastFailure?.detail;
      return "error" in result ? `The feed is not accepted: ${result.detail}` : undefined;
    }),
    close: () => verifier.close(),
  };
}

function explained(verifier: import("offswitch").Verifier, token: string): Step[] | undefined {
  try {
    return verifier.explain(token);
  } catch {
    // The verdict says that the verifier failed.
    return undefined;
  }
}

function optionsOf(
  { expected, feed }: Subject,
  keys: Array<Record<string, unknown>>,
  files: FeedFiles | undefined,
) {
  const { issuer, audience, types, leewaySeconds } = expected;
  const publicKeys = words(feed?.publicKeys ?? "");
  return {
    issuer: issuer || UNKNOWN_ISSUER,
    audience: audience.trim() === "" ? "unchecked" : lines(audience),
    keys: { keys },
    algorithms: [...new Set(keys.map(({ alg }) => alg))],
    types: types.trim() === "" ? [null] : words(types),
    requiredClaims: ["exp"],
    leewaySeconds: leewaySeconds.trim() === "" ? undefined : Number(leewaySeconds),
    clock: () => Date.now() / 1000,
    // What goes wrong is shown here, and not in the console.
    ...(files && { onEvent() {} }),
    feed: feed === undefined
      ? { url: "https://feed.invalid/", publicKeys: [UNUSED_KEY] }
      : {
        ...(files ? { head: files } : { url: feed.url }), publicKeys,
        ...(feed.id.trim() !== "" && { id: feed.id.trim() }),
        // A carried file is as good as it was signed to be.
        ...(files?.isCarried && { maxStaleness: LONGEST_STALENESS_SECONDS }),
      },
  };
}

function missingOf({ files, url, publicKeys }: FeedSource): string | undefined {
  if (url === "" && files === undefined) return "The address of the feed is missing.";
  if (publicKeys === undefined || words(publicKeys).length > 0) return undefined;
  return "The public key of the feed is missing: without it anyone could write the feed.";
}

async function withPublicKeys(feed: FeedSource, fetchElsewhere: FetchElsewhere) {
  if (feed.publicKeys !== undefined) return feed;
  return { ...feed, publicKeys: (await askPublicKeys(feed, fetchElsewhere)).join(" ") };
}

/** What an issuer would be configured with whose tokens are signed like that. */
function algorithms(alg: string | undefined): Algorithm[] {
  return alg === undefined ? [] : [alg as Algorithm];
}

export function words(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** An audience may contain spaces and commas, but no line breaks. */
function lines(text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

/** With this issuer every token without `iss` is refused. */
const UNKNOWN_ISSUER = "https://issuer.invalid";
/** Without a feed no snapshot arrives, so every good token stays undecided. */
export const UNUSED_KEY = "6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw";
const LONGEST_STALENESS_SECONDS = 86_400;
