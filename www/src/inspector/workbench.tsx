// One inspection, from an empty form until everything is cleared.

import type { Ref } from "preact";
import { useMemo, useState } from "preact/hooks";
import { Card } from "../shared/card";
import { useNow } from "./clock";
import { Compare } from "./compare";
import type { Decoded } from "./decode";
import { isSigned } from "./explain";
import { FeedContents } from "./feed-contents";
import { FeedFields } from "./feed-fields";
import { publishedFiles } from "./feed-files";
import type { FetchElsewhere } from "./issuer-keys";
import { PartTable } from "./part-table";
import { RevokeToken } from "./revoke-token";
import { Share } from "./share";
import { standingOf, type Standing } from "./standing";
import { Steps } from "./steps";
import { TokenField } from "./token-field";
import { useBench, type Given } from "./use-bench";
import { VerdictBanner } from "./verdict";
import { ExpectedFields, KeysFields } from "./verify-form";
import { WarningsList } from "./warnings-list";

interface Props extends Given {
  onClear: () => void;
  fieldRef: Ref<HTMLTextAreaElement>;
}

export function Workbench(props: Props) {
  const { fetchElsewhere, ownsPage, onClear } = props;
  const bench = useBench(props);
  const { form, change, decoded, subject, verified, fetching } = bench;
  const hasFeed = subject.feed !== undefined;
  const now = useNow();
  const standing = standingOf(decoded, verified, hasFeed, now);
  const isBusy = verified.isBusy || fetching.isBusy;
  return (
    <>
      <section class="card token-card" aria-label="The token">
        <TokenField
          label="Token" value={form.token} decoded={decoded} fieldRef={props.fieldRef}
          onChange={(token) => change({ token })}
        />
        <div class="row actions">
          <button type="button" onClick={bench.tryExample}>Try an example</button>
          <button type="button" onClick={onClear}>Clear everything</button>
          {ownsPage && <RevokeToken key={decoded.token} decoded={decoded}
            isVerified={isSigned(verified.judgement?.steps ?? [])} />}
          <span role="status" class="small bad">{bench.problem}</span>
        </div>
      </section>
      <VerdictBanner
        standing={standing} judgement={verified.judgement} hasFeed={hasFeed} feed={verified.feed}
      />
      <div class="columns">
        <div>
          {decoded.form === "empty" && <Welcome />}
          <Parts decoded={decoded} standing={standing} />
          <WarningsList decoded={decoded} />
        </div>
        <div>
          <Card title="Verify">
            <form
              aria-label="Verify" autocomplete="off"
              onSubmit={(event) => {
                event.preventDefault();
                void bench.verify();
              }}
            >
              <KeysFields form={form} change={change} fetching={fetching} fetched={bench.fetched} />
              <div class="row actions">
                <button type="submit" class="primary" disabled={isBusy}>
                  {fetching.isBusy ? "Fetching keys …" : "Verify"}
                </button>
                <span class="small quiet">Editing any field clears the verdict.</span>
              </div>
              <Notes notes={verified.verification?.notes ?? []} />
              <ExpectedFields form={form} expected={subject.expected} change={change} />
              <FeedFields form={form} change={change} fetchElsewhere={fetchElsewhere}
                ownFeed={bench.ownFeed} />
            </form>
          </Card>
          <Contents bench={bench} fetchElsewhere={fetchElsewhere} />
          {decoded.form === "jws" && <Steps judgement={verified.judgement} />}
        </div>
      </div>
      <Compare first={decoded} other={form.other} onChange={(other) => change({ other })} />
      <Share decoded={decoded} verified={verified} hasLink={ownsPage} />
    </>
  );
}

/** What a feed as files holds: of a carried file always, of an address on request. */
function Contents({ bench, fetchElsewhere }: { bench: ReturnType<typeof useBench>; fetchElsewhere: FetchElsewhere }) {
  const { feed } = bench.subject;
  const [asked, ask] = useState("");
  const published = useMemo(() => feed && publishedFiles(feed, fetchElsewhere), [feed?.url, feed?.apiKey]);
  if (feed === undefined) return null;
  const files = feed.files ?? (asked === feed.url ? published : undefined);
  if (files !== undefined) return <FeedContents files={files} publicKeys={feed.publicKeys ?? ""} />;
  if (published === undefined) return null;
  return <button type="button" onClick={() => ask(feed.url)}>Show what the feed holds</button>;
}

function Welcome() {
  return (
    <Card title="What you will see">
      <ul class="welcome">
        <li><strong>What it says.</strong> Header and claims, the meaning of each, and what is broken or
          odd about them. This needs no network.</li>
        <li><strong>Whether it is genuine.</strong> With the issuer's keys, check by check, as the edge
          judges it: with the same WebAssembly, in this tab.</li>
        <li><strong>Whether it is still valid.</strong> With a feed, updated every second: revoke it
          elsewhere, and the verdict changes here.</li>
      </ul>
      <p class="quiet small">Tokens, keys and secrets stay in the memory of this tab.</p>
    </Card>
  );
}

function Parts({ decoded, standing }: { decoded: Decoded; standing: Standing }) {
  const [header, payload] = decoded.segments;
  const tables = useMemo(() => ({
    header: header && <PartTable kind="header" segment={header} />,
    claims: payload && decoded.form === "jws" && <PartTable kind="claims" segment={payload} />,
  }), [decoded]);
  const state = <span class={`pill ${standing.tone}`}>{standing.title}</span>;
  return (
    <>
      {tables.claims && <Card title={<>Claims {state}</>} look="part">{tables.claims}</Card>}
      {tables.header && <Card title={<>Header {state}</>} look="part">{tables.header}</Card>}
    </>
  );
}

function Notes({ notes }: { notes: string[] }) {
  if (notes.length === 0) return null;
  return <ul class="notes quiet small">{notes.slice(0, 20).map((note) => <li>{note}</li>)}</ul>;
}
