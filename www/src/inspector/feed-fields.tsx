// Which feed is followed, to know whether the token was revoked.

import { useId, useState } from "preact/hooks";
import { Field } from "../shared/field";
import { messageOf } from "../shared/message";
import { ShownText } from "../shared/shown-text";
import { carriedFiles } from "./feed-files";
import { askPublicKeys } from "./feed-poll";
import { followsFeed, type Change, type Form } from "./form";
import type { FetchElsewhere } from "./issuer-keys";
import type { FeedSource } from "./verification";
import { Group } from "./verify-form";

interface Props {
  form: Form;
  change: Change;
  fetchElsewhere: FetchElsewhere;
  /** The feed of the control plane that serves the page, while the console is signed in. */
  ownFeed?: FeedSource;
}

export function FeedFields(props: Props) {
  const { form, change, ownFeed } = props;
  const isFollowed = followsFeed(form, ownFeed);
  return (
    <Group title="Revocation">
      <label class="check">
        <input
          type="checkbox" checked={isFollowed}
          onChange={({ currentTarget }) => change({ followsFeed: currentTarget.checked })}
        /> Follow a feed, to know whether it was revoked
      </label>
      {isFollowed && (ownFeed !== undefined && !form.usesOtherFeed
        ? <OwnFeed onOther={() => change({ usesOtherFeed: true })} />
        : <OtherFeed {...props} />)}
    </Group>
  );
}

function OwnFeed({ onOther }: { onOther: () => void }) {
  return (
    <p class="row">
      <span>The feed of this control plane, with the API key of the console.</span>
      <button type="button" class="small" onClick={onOther}>Use another feed</button>
    </p>
  );
}

function OtherFeed({ form, change, fetchElsewhere, ownFeed }: Props) {
  return (
    <>
      {ownFeed !== undefined && (
        <button type="button" class="small" onClick={() => change({ usesOtherFeed: false })}>
          Use this control plane's feed
        </button>
      )}
      {form.feedFile === undefined && (
        <>
          <Field label="Feed" type="url" value={form.feedUrl} placeholder="https://auth.example/v1/feed"
            hint="Or the head of a feed that is published as files: an address that ends in /head."
            onInput={(feedUrl) => change({ feedUrl })} />
          <Field label="API key with the scope feed:read" type="password" value={form.apiKey}
            hint="Kept in memory until you clear it or leave."
            onInput={(apiKey) => change({ apiKey })} />
        </>
      )}
      <FeedFileField form={form} change={change} />
      <PublicKeys form={form} change={change} fetchElsewhere={fetchElsewhere} />
      <Field label="Id of the feed" value={form.feedId} placeholder="the issuer"
        onInput={(feedId) => change({ feedId })} />
    </>
  );
}

/** A file that was carried here, from a network that this one has no way to. */
function FeedFileField({ form, change }: { form: Form; change: Change }) {
  const id = useId();
  const [isOver, setIsOver] = useState(false);
  const [problem, setProblem] = useState("");
  const take = async (file: File | null | undefined) => {
    if (!file) return;
    try {
      change({ feedFile: await carriedFiles(file) });
      setProblem("");
    } catch (error) {
      setProblem(messageOf(error));
    }
  };
  const { feedFile } = form;
  if (feedFile !== undefined) {
    return (
      <p class="row">
        <span>The feed file <ShownText text={feedFile.name} />.</span>
        <button type="button" class="small" onClick={() => change({ feedFile: undefined })}>Remove the file</button>
      </p>
    );
  }
  return (
    <div class={isOver ? "drop over" : "drop"} onDragLeave={() => setIsOver(false)}
      onDragOver={(event) => {
        event.preventDefault();
        setIsOver(true);
      }}
      onDrop={(event) => {
        event.preventDefault();
        setIsOver(false);
        void take(event.dataTransfer?.files[0]);
      }}>
      <label for={id}>Or drop a feed file here, or choose one</label>
      <input id={id} type="file" accept=".tar" onChange={({ currentTarget }) => {
        void take(currentTarget.files?.[0]);
        // The same file may be chosen again after it was changed.
        currentTarget.value = "";
      }} />
      <p class="quiet small">What <code>offswitch snapshot export</code> wrote. It stays in this tab.</p>
      <p role="status" class="small bad">{problem}</p>
    </div>
  );
}

function PublicKeys({ form, change, fetchElsewhere }: Props) {
  const [state, setState] = useState<{ problem?: string; isBusy?: boolean }>({});
  const request = async () => {
    setState({ isBusy: true });
    try {
      const source = { url: form.feedUrl.trim(), apiKey: form.apiKey };
      const found = await askPublicKeys(source, fetchElsewhere);
      change({ feedPublicKeys: found.join("\n") });
      setState({});
    } catch (error) {
      setState({ problem: messageOf(error) });
    }
  };
  return (
    <>
      <Field label="Public keys of the feed" rows={2} value={form.feedPublicKeys}
        placeholder="Ed25519, base64url, one per line"
        hint={<>Fetching them needs the scope <code>keys:read</code>. The keys are trusted as received
          from that address.</>}
        onInput={(feedPublicKeys) => change({ feedPublicKeys })} />
      <div class="row">
        <button type="button" disabled={state.isBusy} onClick={request}>
          Fetch them from the control plane
        </button>
        <span role="status" class="small bad">{state.problem}</span>
      </div>
    </>
  );
}
