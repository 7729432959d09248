// One inspection, from an empty form until everything is cleared.

import type { Ref } from "preact";
import { useMemo } from "preact/hooks";
import { Compare } from "./compare";
import type { Decoded } from "./decode";
import { FeedFields } from "./feed-fields";
import { PartTable } from "./part-table";
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
  const standing = standingOf(decoded, verified, hasFeed);
  return (
    <>
      <section class="card" aria-label="The token">
        <TokenField
          id="token" label="Token" value={form.token} decoded={decoded} fieldRef={props.fieldRef}
          onChange={(token) => change({ token })}
        />
        <div class="row actions">
          <button type="button" class="primary" onClick={bench.tryExample}>Try an example</button>
          <button type="button" onClick={onClear}>Clear everything</button>
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
          <form
            class="card" aria-labelledby="verify-title" autocomplete="off"
            onSubmit={(event) => {
              event.preventDefault();
              void bench.verify();
            }}
          >
            <h2 id="verify-title">Verify</h2>
            <KeysFields
              form={form} decoded={decoded} change={change} fetching={fetching}
              onFetch={bench.fetchKeys}
            />
            <ExpectedFields form={form} expected={subject.expected} change={change} />
            <FeedFields form={form} change={change} fetchElsewhere={fetchElsewhere} />
            <div class="row actions">
              <button type="submit" class="primary" disabled={verified.isBusy}>Verify</button>
              <span class="small quiet">Any change takes the verdict back.</span>
            </div>
            <Notes notes={verified.verification?.notes ?? []} />
          </form>
          {decoded.form === "jws" && <Steps steps={verified.judgement?.steps} />}
        </div>
      </div>
      <Compare first={decoded} other={form.other} onChange={(other) => change({ other })} />
      <Share decoded={decoded} verified={verified} hasLink={ownsPage} />
    </>
  );
}

function Welcome() {
  return (
    <section class="card" aria-labelledby="welcome-title">
      <h2 id="welcome-title">What you will see</h2>
      <ul class="welcome">
        <li><strong>What it says.</strong> Header and claims with what each means, and what is
          broken or odd about them. Nobody has to be asked for that.</li>
        <li><strong>Whether it is genuine.</strong> With the issuer's keys, check by check, as the
          edge would judge it: by the same WebAssembly, in this tab.</li>
        <li><strong>Whether it is still good.</strong> With a feed, second by second: revoke it
          elsewhere and watch it flip.</li>
      </ul>
      <p class="quiet small">Tokens, keys and secrets stay in the memory of this tab.</p>
    </section>
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
      {tables.header && (
        <section class="card" aria-labelledby="header-title">
          <h2 id="header-title" class="part-title">Header {state}</h2>
          {tables.header}
        </section>
      )}
      {tables.claims && (
        <section class="card" aria-labelledby="claims-title">
          <h2 id="claims-title" class="part-title">Claims {state}</h2>
          {tables.claims}
        </section>
      )}
    </>
  );
}

function Notes({ notes }: { notes: string[] }) {
  if (notes.length === 0) return null;
  return <ul class="notes quiet small">{notes.slice(0, 10).map((note) => <li>{note}</li>)}</ul>;
}
