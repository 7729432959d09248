// Follows a feed by polls, once a second, and hands each snapshot to the verifier.

import { messageOf } from "../shared/message";
import type { FetchElsewhere } from "./issuer-keys";
import type { FeedSource, Verification } from "./verification";

export interface FeedState {
  /** What went wrong in the last round; undefined if nothing did. */
  problem?: string;
}

/** Polls until the returned function is called; `report` gets the result of every round. */
export function pollFeed(
  feed: FeedSource,
  verification: Verification,
  fetchElsewhere: FetchElsewhere,
  report: (state: FeedState) => void,
): () => void {
  let isStopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let [failures, wantsBase] = [0, false];
  const poll = async (since: string | undefined) => {
    const found = await ask(feed, since, fetchElsewhere);
    if (isStopped) return undefined;
    const result = verification.apply(found);
    wantsBase = "error" in result && result.needsBase;
    return "error" in result ? `The snapshot is not accepted: ${result.detail}` : undefined;
  };
  const round = async () => {
    const since = wantsBase ? undefined : verification.since();
    let problem: string | undefined;
    try {
      problem = await (verification.readFiles?.() ?? poll(since));
    } catch (error) {
      problem = messageOf(error);
    }
    if (isStopped) return;
    failures = problem === undefined ? 0 : failures + 1;
    report({ problem });
    // A feed that keeps failing is requested less often.
    const pause = Math.min(PAUSE_MS * 2 ** Math.max(failures - 2, 0), MAX_PAUSE_MS);
    timer = setTimeout(round, wantsBase && since !== undefined ? 0 : pause);
  };
  void round();
  return () => {
    isStopped = true;
    clearTimeout(timer);
  };
}

/** The public keys of the feed, from its control plane; that needs the scope `keys:read`. */
export async function askPublicKeys(
  { url, apiKey }: { url: string; apiKey: string },
  fetchElsewhere: FetchElsewhere,
): Promise<string[]> {
  const address = new URL("keys", withoutQuery(url)).href;
  const { status, bytes } = await fetchElsewhere(address, authorization(apiKey));
  if (status !== 200) throw new Error(refusalOf(status, "keys:read"));
  const answer: unknown = JSON.parse(new TextDecoder().decode(bytes));
  const keys = (answer as { feed_public_keys?: unknown } | null)?.feed_public_keys;
  if (!Array.isArray(keys) || keys.length === 0) throw new Error(`${address} lists no feed keys.`);
  return keys.map(String);
}

async function ask(
  { url, apiKey }: FeedSource,
  since: string | undefined,
  fetchElsewhere: FetchElsewhere,
): Promise<Uint8Array> {
  const address = withoutQuery(url);
  if (since !== undefined) address.searchParams.set("since", since);
  const { status, bytes } = await fetchElsewhere(address.href, authorization(apiKey));
  if (status !== 200) throw new Error(refusalOf(status, "feed:read"));
  return bytes;
}

function withoutQuery(url: string): URL {
  const isUrl = /^https?:\/\//i.test(url) && URL.canParse(url);
  if (!isUrl) throw new Error("The feed is not an http(s) URL.");
  const address = new URL(url);
  address.search = "";
  return address;
}

function authorization(apiKey: string): Record<string, string> {
  const key = apiKey.trim();
  return key === "" ? {} : { authorization: `Bearer ${key}` };
}

function refusalOf(status: number, scope: string): string {
  if (status === 401) return "The feed does not know this API key (status 401).";
  if (status === 403) return `The API key lacks the scope ${scope} (status 403).`;
  if (status === 404) return "There is no feed at this address (status 404).";
  return `The feed answered with status ${status}.`;
}

const PAUSE_MS = 1000;
const MAX_PAUSE_MS = 15_000;
