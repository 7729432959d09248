// The state of the token, always in view, and the evidence for it.

import { duration } from "../shared/format";
import { ShownText } from "../shared/shown-text";
import type { FeedState } from "./feed-poll";
import type { Standing } from "./standing";
import type { Judgement } from "./verification";

interface Props {
  standing: Standing;
  judgement?: Judgement;
  hasFeed: boolean;
  feed?: FeedState;
}

export function VerdictBanner({ standing, judgement, hasFeed, feed }: Props) {
  const { tone, title, sentence } = standing;
  return (
    <section class={`card standing ${tone}`} aria-label="State of the token">
      <div role="status" aria-live="polite" class="standing-words">
        <strong class={`standing-title ${tone}`}>
          <span aria-hidden="true" class="standing-icon">{ICONS[tone]}</span>{title}
        </strong>
        <p><ShownText text={sentence} keepsLines /></p>
      </div>
      {hasFeed && judgement !== undefined && <Evidence judgement={judgement} feed={feed} />}
    </section>
  );
}

function Evidence({ judgement, feed }: { judgement: Judgement; feed?: FeedState }) {
  const { position, ageSeconds } = judgement.verdict.evidence;
  return (
    <dl class="evidence">
      <div><dt>Feed</dt><dd><FeedWord judgement={judgement} feed={feed} /></dd></div>
      <div><dt>Position</dt><dd class="mono">{position ?? "none yet"}</dd></div>
      <div>
        <dt>Snapshot</dt>
        <dd>{ageSeconds === null ? "none yet" : `${duration(ageSeconds)} old`}</dd>
      </div>
    </dl>
  );
}

function FeedWord({ judgement, feed }: { judgement: Judgement; feed?: FeedState }) {
  if (feed?.problem !== undefined) return <span class="bad">{feed.problem}</span>;
  const { code } = judgement.verdict;
  if (code === "valid") return <span class="good">Not revoked</span>;
  if (code.startsWith("revoked_")) return <span class="bad">Revoked</span>;
  return feed === undefined ? <>connecting …</> : <>followed</>;
}

const ICONS = { bad: "✕", good: "✓", unknown: "?" };
