// The keys that sign tokens and the feed, and their planned rotation.

import { useEffect, useRef, useState } from "preact/hooks";
import type { NewKey, SigningKey, SigningKeys } from "../shared/answers";
import { Card } from "../shared/card";
import { Confirm } from "../shared/confirm";
import { duration } from "../shared/format";
import { Moment } from "../shared/moment";
import { ProblemNotice } from "../shared/outcome";
import { nowSeconds, type Answer } from "../shared/request";
import { ShownText } from "../shared/shown-text";
import { useSubmit } from "../shared/submit";
import { Table } from "../shared/table";
import { Needs, may, type Access } from "./access";
import { FeedKeys } from "./feed-keys";
import { useSecondHand } from "./polling";

interface Props {
  access: Access;
  isShown: boolean;
  /** The log's position: a key may have been revoked with it. */
  position: string;
}

export function Keys({ access, isShown, position }: Props) {
  const [keys, setKeys] = useState<Answer<SigningKeys> | null>(null);
  const rotation = useSubmit<NewKey>();
  const asked = useRef(0);
  const canRead = may(access, "keys:read");
  const load = async () => {
    const mine = (asked.current += 1);
    const answer = await access.plane.keys();
    if (mine === asked.current) setKeys(answer);
  };
  const tokenKeys = keys?.ok ? keys.value.token_keys : [];
  const isPending = tokenKeys.some(({ state }) => state === "pending");
  const nowMs = useSecondHand(isShown && tokenKeys.length > 0);
  const now = nowSeconds();
  const isDue = tokenKeys.some((key) => isOverdue(key, now));
  useEffect(() => {
    if (isShown && canRead) void load();
  }, [isShown, canRead, position, access.plane]);
  useEffect(() => {
    // A key changes its state when its time has come; processes read the keys every few seconds.
    if (isShown && canRead && isDue && Math.floor(nowMs / 1000) % 3 === 0) void load();
  }, [nowMs]);
  const rotate = async () => {
    await rotation.send("rotate", () => access.plane.rotateKey());
    if (may(access, "keys:read")) void load();
  };
  return (
    <>
      <Card title="Signing keys">
        <Needs access={access} scope="keys:read" to="see the keys" />
        {keys?.ok === false && canRead && <ProblemNotice problem={keys.problem} />}
        {tokenKeys.length > 0 && (
          <Table caption="Signing keys, in the order in which they sign" columns={COLUMNS}
            rows={tokenKeys.map((key) => ({ key: key.kid, cells: cells(key, now) }))} />
        )}
        <h3>Planned rotation</h3>
        <p class="quiet">A new key is published first and signs a little later. Tokens of the old key stay
          valid until they expire.</p>
        <Needs access={access} scope="keys:write" to="rotate" />
        <div class="row submit">
          <Confirm text={isPending ? "Rotate (a key is pending already)" : "Rotate the signing key"}
            question="A new key is made and published now." yes="Yes, rotate"
            isDisabled={rotation.isBusy || !may(access, "keys:write")} onYes={rotate} />
        </div>
        <div role="status"><Rotated answer={rotation.answer} /></div>
      </Card>
      <FeedKeys access={access} keys={keys?.ok ? keys.value.feed_keys : []} onChange={load} />
    </>
  );
}

function Rotated({ answer }: { answer: Answer<NewKey> | null }) {
  if (answer === null) return null;
  if (!answer.ok) return <ProblemNotice problem={answer.problem} />;
  const { kid, signs_from, repeated } = answer.value;
  return (
    <p class="notice good">
      {repeated ? "A key was pending already: " : "The new key is published: "}
      <code><ShownText text={kid} /></code>. It signs from <Moment at={signs_from} />.
    </p>
  );
}

function cells(key: SigningKey, now: number) {
  const { kid, alg, state, created_at, signs_from, retires_at } = key;
  const leftSeconds = signs_from - now;
  return [
    <>
      <code><ShownText text={kid} /></code>
      <span class="quiet small"> <ShownText text={alg} /></span>
    </>,
    <>
      <span class={`pill ${LOOKS[state] ?? "quiet"}`}><ShownText text={state} /></span>
      <div class="quiet small">{MEANINGS[state]}</div>
    </>,
    <Moment at={created_at} />,
    state === "pending"
      ? <strong class="unknown">
          {leftSeconds > 0 ? `in ${duration(leftSeconds)}` : "any moment"}
        </strong>
      : <Moment at={signs_from} />,
    retires_at === null || retires_at === undefined ? <span class="quiet">not planned</span>
      : <Moment at={retires_at} />,
  ];
}

function isOverdue({ state, signs_from, retires_at }: SigningKey, now: number): boolean {
  return (state === "pending" && signs_from <= now) || (retires_at !== null && retires_at <= now);
}

const COLUMNS = ["Key", "State", "Created", "Signs from", "Retires"];
const LOOKS: Record<string, string> = { active: "good", dead: "bad", pending: "unknown" };
const MEANINGS: Record<string, string> = {
  active: "signs new tokens",
  dead: "revoked",
  pending: "published, does not sign yet",
  verifying: "its tokens are still valid",
};
