// The keys that sign the feed, and their rotation: add a key, sign with both, drop the old one.

import { useRef } from "preact/hooks";
import type { DroppedFeedKey, FeedKey, NewFeedKey } from "../shared/answers";
import { Card } from "../shared/card";
import { Confirm } from "../shared/confirm";
import { CopyButton } from "../shared/copy-button";
import { Moment } from "../shared/moment";
import { ProblemNotice } from "../shared/outcome";
import { ShownText } from "../shared/shown-text";
import { useSubmit } from "../shared/submit";
import { Table } from "../shared/table";
import { Needs, may, type Access } from "./access";

interface Props {
  access: Access;
  keys: readonly FeedKey[];
  onChange(): void;
}

export function FeedKeys({ access, keys, onChange }: Props) {
  const adding = useSubmit<NewFeedKey>();
  const dropping = useSubmit<DroppedFeedKey>();
  const place = useRef<HTMLDivElement>(null);
  const isDisabled = adding.isBusy || dropping.isBusy || !may(access, "keys:write");
  const add = async () => {
    dropping.clear();
    await adding.send("add", (key) => access.plane.addFeedKey(key));
    onChange();
  };
  const drop = async (id: string) => {
    adding.clear();
    await dropping.send(id, () => access.plane.dropFeedKey(id));
    // The button that had the focus disappears with its row.
    place.current?.focus();
    onChange();
  };
  return (
    <Card title="Feed keys">
      <Needs access={access} scope="keys:read" to="see the keys" />
      {keys.length > 0 && (
        <Table caption="Feed keys, oldest first" columns={COLUMNS}
          rows={keys.map((key) => ({
            key: key.id, cells: cells(key, keys.length === 1, isDisabled, drop),
          }))} />
      )}
      <h3>Rotation</h3>
      <ol class="quiet">
        <li>Add a key. Within five seconds every snapshot is signed with the old and the new key.</li>
        <li>Configure every verifier with the new public key.</li>
        <li>Drop the old key. Verifiers that trust only the old one accept no snapshot from then on,
          and answer 503 when what they have is too old.</li>
      </ol>
      <Needs access={access} scope="keys:write" to="rotate" />
      <div class="row submit">
        <Confirm text="Add a feed key" question="Every snapshot will be signed with one more key."
          yes="Yes, add it" isDisabled={isDisabled} onYes={add} />
      </div>
      <div role="status" ref={place} tabIndex={-1}>
        {adding.answer?.ok && (
          <p class="notice good">
            {adding.answer.value.repeated ? "The key had been added before: " : "The key is added: "}
            <code><ShownText text={adding.answer.value.public_key} /></code>. Now configure your verifiers
            with it.
          </p>
        )}
        {adding.answer?.ok === false && <ProblemNotice problem={adding.answer.problem} />}
        {dropping.answer?.ok && (
          <p class="notice good">
            The key <code><ShownText text={dropping.answer.value.id} /></code> signs no more snapshots.
          </p>
        )}
        {dropping.answer?.ok === false && <ProblemNotice problem={dropping.answer.problem} />}
      </div>
    </Card>
  );
}

function cells(key: FeedKey, isOnly: boolean, isDisabled: boolean, drop: (id: string) => void) {
  const { id, public_key, created_at, state } = key;
  return [
    <>
      <code><ShownText text={public_key} /></code>
      <div class="row quiet small">
        <span>id <code><ShownText text={id} /></code></span>
        <CopyButton label="Copy" name={`feed key ${id}`} isSmall text={() => public_key} />
      </div>
    </>,
    <>
      <span class={`pill ${state === "current" ? "good" : "unknown"}`}><ShownText text={state} /></span>
      <div class="quiet small">{MEANINGS[state]}</div>
    </>,
    <Moment at={created_at} />,
    isOnly ? <span class="quiet">the only key</span> : (
      <Confirm text="Drop" label={`Drop feed key ${id}`} yes="Yes, drop it" isDisabled={isDisabled}
        question={DROP_QUESTION}
        onYes={() => drop(id)} />
    ),
  ];
}

const DROP_QUESTION = "Verifiers that trust only this key accept no snapshot from now on. There is no "
  + "way back.";
const COLUMNS = ["Public key", "State", "Created", "Action"];
const MEANINGS: Record<string, string> = {
  current: "the newest key",
  overlapping: "signs until it is dropped",
};
