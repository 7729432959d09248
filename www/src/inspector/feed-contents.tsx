// What a feed file or a head holds, once its signatures are checked. No token is needed.

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Card } from "../shared/card";
import { bytes, count, relativeTime, utcTime } from "../shared/format";
import { messageOf } from "../shared/message";
import { ShownText } from "../shared/shown-text";
import { useNow } from "./clock";
import { headOf, type FeedFiles } from "./feed-files";
import { loadPackage } from "./package";
import { summaryOf, type SnapshotSummary } from "./snapshot";
import { UNUSED_KEY, words } from "./verification";

/** What is known after the verifier has accepted it. */
interface Contents extends SnapshotSummary {
  feed: string;
  position: string;
  sizeBytes: number;
}

interface Props {
  files: FeedFiles;
  publicKeys: string;
}

export function FeedContents({ files, publicKeys }: Props) {
  const [found, setFound] = useState<{ contents?: Contents; problem?: string }>({});
  const now = useNow();
  useEffect(() => {
    let isCurrent = true;
    setFound({});
    const show = (news: typeof found) => isCurrent && setFound(news);
    if (words(publicKeys).length === 0) show({ problem: "Give the public key of the feed: without it, anyone may have made this." });
    else readContents(files, words(publicKeys)).then(
      (contents) => show({ contents }),
      (error) => show({ problem: messageOf(error) }),
    );
    return () => {
      isCurrent = false;
    };
  }, [files, publicKeys]);
  const { contents, problem } = found;
  return (
    <Card title="What the feed holds">
      <p class="quiet small"><ShownText text={files.name} /></p>
      <div role="status">
        {problem !== undefined && <p class="notice bad small"><ShownText text={problem} keepsLines /></p>}
        {contents !== undefined && <Rows contents={contents} now={now} />}
        {contents === undefined && problem === undefined && <p class="quiet">Checking …</p>}
      </div>
    </Card>
  );
}

function Rows({ contents, now }: { contents: Contents; now: number }) {
  const { validUntil, issuedAt } = contents;
  const isFresh = now <= validUntil;
  const rows: Array<[string, ComponentChildren]> = [
    ["State", isFresh
      ? <span class="good">Signed by a given key, and valid</span>
      : <span class="bad">Signed by a given key, but too old: verifiers cannot decide with it</span>],
    ["Feed", <ShownText text={contents.feed} />],
    ["Position", <span class="mono">{contents.position}</span>],
    ["Signed", `${utcTime(issuedAt)}, ${relativeTime(issuedAt, now)}`],
    ["Valid until", `${utcTime(validUntil)}, ${relativeTime(validUntil, now)}`],
    ["Tokens and sessions", count(contents.denied)],
    ["Users and claims", count(contents.cutoffs)],
    ["Dead keys", count(contents.deadKeys)],
    ["Issuers", contents.issuers.map((issuer) => <div key={issuer}><ShownText text={issuer} /></div>)],
    ["Size", bytes(contents.sizeBytes)],
  ];
  return (
    <dl class="evidence contents">
      {rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

/** Has the verifier read everything; rejects with its reason if it does not accept it. */
async function readContents(files: FeedFiles, publicKeys: string[]): Promise<Contents> {
  const { Verifier } = await loadPackage();
  const { feed, heartbeat } = await headOf(files);
  const parts: Uint8Array[] = [];
  const get = async (name: string) => {
    const part = await files.get(name);
    if (part !== undefined && name !== "head") parts.push(part);
    return part;
  };
  const key = { kty: "OKP", crv: "Ed25519", alg: "EdDSA", kid: "none", x: UNUSED_KEY };
  const verifier = new Verifier({
    issuer: feed, audience: "unchecked", keys: { keys: [key] }, onEvent() {},
    feed: { id: feed, head: { get }, publicKeys },
  });
  try {
    const result = await verifier.refresh();
    if ("error" in result) throw new Error(result.detail);
    const { issuedAt, validUntil } = summaryOf(heartbeat);
    const all = parts.map(summaryOf);
    const sum = (of: (one: SnapshotSummary) => number) => all.reduce((total, one) => total + of(one), 0);
    return {
      feed, issuedAt, validUntil,
      position: String(verifier.status().position),
      denied: sum(({ denied }) => denied),
      cutoffs: sum(({ cutoffs }) => cutoffs),
      deadKeys: sum(({ deadKeys }) => deadKeys),
      issuers: [...new Set(all.flatMap(({ issuers }) => issuers))],
      sizeBytes: parts.reduce((total, part) => total + part.byteLength, 0),
    };
  } finally {
    verifier.close();
  }
}
