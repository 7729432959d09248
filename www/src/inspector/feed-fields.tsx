// Which feed tells what was revoked.

import { useState } from "preact/hooks";
import { askPublicKeys } from "./feed-poll";
import type { Change, Form } from "./form";
import { messageOf, type FetchElsewhere } from "./issuer-keys";

interface Props {
  form: Form;
  change: Change;
  fetchElsewhere: FetchElsewhere;
}

export function FeedFields({ form, change, fetchElsewhere }: Props) {
  return (
    <fieldset>
      <legend>Live status</legend>
      <label class="check">
        <input
          type="checkbox" checked={form.followsFeed}
          onChange={({ currentTarget }) => change({ followsFeed: currentTarget.checked })}
        /> Follow a feed, to know whether it was revoked
      </label>
      {form.followsFeed && (
        <FeedSource form={form} change={change} fetchElsewhere={fetchElsewhere} />
      )}
    </fieldset>
  );
}

function FeedSource({ form, change, fetchElsewhere }: Props) {
  return (
    <>
      <label for="feed-url">Feed</label>
      <input
        id="feed-url" type="url" value={form.feedUrl} autocomplete="off" spellcheck={false}
        placeholder="https://auth.example/v1/feed"
        onInput={({ currentTarget }) => change({ feedUrl: currentTarget.value })}
      />
      <label for="api-key">API key with the scope feed:read</label>
      <input
        id="api-key" type="password" value={form.apiKey} autocomplete="off" spellcheck={false}
        aria-describedby="api-key-hint"
        onInput={({ currentTarget }) => change({ apiKey: currentTarget.value })}
      />
      <p id="api-key-hint" class="quiet small">Kept in memory until you clear it or leave.</p>
      <PublicKeys form={form} change={change} fetchElsewhere={fetchElsewhere} />
      <label for="feed-id">Id of the feed</label>
      <input
        id="feed-id" value={form.feedId} autocomplete="off" spellcheck={false}
        placeholder="the issuer"
        onInput={({ currentTarget }) => change({ feedId: currentTarget.value })}
      />
    </>
  );
}

function PublicKeys({ form, change, fetchElsewhere }: Props) {
  const [told, tell] = useState<{ problem?: string; isBusy?: boolean }>({});
  const ask = async () => {
    tell({ isBusy: true });
    try {
      const source = { url: form.feedUrl.trim(), apiKey: form.apiKey };
      const found = await askPublicKeys(source, fetchElsewhere);
      change({ feedPublicKeys: found.join("\n") });
      tell({});
    } catch (error) {
      tell({ problem: messageOf(error) });
    }
  };
  return (
    <>
      <label for="feed-keys">Public keys of the feed</label>
      <textarea
        id="feed-keys" rows={2} value={form.feedPublicKeys} autocomplete="off" spellcheck={false}
        placeholder="Ed25519, base64url; several on lines of their own"
        onInput={({ currentTarget }) => change({ feedPublicKeys: currentTarget.value })}
      />
      <div class="row">
        <button type="button" disabled={told.isBusy} onClick={ask}>
          Ask the control plane for them
        </button>
        <span role="status" class="small bad">{told.problem}</span>
      </div>
      <p class="quiet small">
        For that the API key needs the scope keys:read. It trusts whoever answers there.
      </p>
    </>
  );
}
