// The state of the token, in sight all the time, and what it is based on.

import type { FeedState } from "./feed-poll";
import type { Standing } from "./standing";
import { ShownText } from "../shared/shown-text";
import { duration } from "./times";
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
  const { position, age_seconds: age } = judgement.verdict.evidence;
  return (
    <dl class="evidence">
      <div><dt>Position</dt><dd class="mono">{position ?? "none yet"}</dd></div>
      <div><dt>Snapshot</dt><dd>{age === null ? "none yet" : `${duration(age)} old`}</dd></div>
      <div><dt>Feed</dt><dd><FeedWord feed={feed} /></dd></div>
    </dl>
  );
}

function FeedWord({ feed }: { feed?: FeedState }) {
  if (feed === undefined) return <>asking …</>;
  if (feed.problem === undefined) return <span class="good">followed, asked {feed.rounds}×</span>;
  return <span class="bad">{feed.problem}</span>;
}

const ICONS = { bad: "✕", good: "✓", unknown: "?" };
