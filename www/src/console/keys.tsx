// The keys that sign tokens, and their planned rotation.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { NewKey, SigningKey, SigningKeys } from "../shared/answers";
import { Needs, may, type Access } from "./access";
import { Confirm } from "../shared/confirm";
import { Field } from "../shared/field";
import { duration } from "../shared/format";
import { Foreign } from "../shared/foreign";
import { Moment } from "../shared/moment";
import { Facts, ProblemNotice } from "../shared/outcome";
import { useSecondHand } from "./polling";
import { nowSeconds, type Answer } from "../shared/request";
import { useSubmit } from "../shared/submit";
import { Table } from "../shared/table";

interface Shown {
  access: Access;
  isShown: boolean;
  /** The log's position: a key may have died with it. */
  position: string;
}

export function Keys({ access, isShown, position }: Shown) {
  const [keys, setKeys] = useState<Answer<SigningKeys> | null>(null);
  const rotation = useSubmit<NewKey>();
  const [reason, setReason] = useState("");
  const asked = useRef(0);
  const id = useId();
  const canRead = may(access, "keys:read");
  const load = async () => {
    const mine = (asked.current += 1);
    const answer = await access.plane.keys();
    if (mine === asked.current) setKeys(answer);
  };
  const token_keys = keys?.ok ? keys.value.token_keys : [];
  const isPending = token_keys.some(({ state }) => state === "pending");
  const nowMs = useSecondHand(isShown && token_keys.length > 0);
  const now = nowSeconds();
  const isDue = token_keys.some((key) => isOverdue(key, now));
  useEffect(() => {
    if (isShown && canRead) load();
  }, [isShown, canRead, position, access.plane]);
  useEffect(() => {
    // A key whose time has come changes its state; processes read the keys every few seconds.
    if (isShown && canRead && isDue && Math.floor(nowMs / 1000) % 3 === 0) load();
  }, [nowMs]);
  const rotate = async () => {
    await rotation.send(reason, () => access.plane.rotateKey(reason));
    if (may(access, "keys:read")) load();
  };
  return (
    <section class="card" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Signing keys</h2>
      <Needs access={access} scope="keys:read" to="see the keys" />
      {keys?.ok === false && canRead && <ProblemNotice problem={keys.problem} />}
      {token_keys.length > 0 && (
        <Table caption="Signing keys, in the order in which they sign" columns={COLUMNS}
          rows={token_keys.map((key) => ({ key: key.kid, cells: cells(key, now) }))} />
      )}
      {keys?.ok && (
        <Facts facts={[["Feed's public keys", <>
          {keys.value.feed_public_keys.map((key) => (
            <div key={key}><code><Foreign text={key} /></code></div>
          ))}
        </>]]} />
      )}
      <h3>Planned rotation</h3>
      <p class="quiet">A new key is published first and signs a little later. The old one's tokens
        stay valid until they expire: nobody notices.</p>
      <Needs access={access} scope="keys:write" to="rotate" />
      <Field label="Reason" note="optional; checked, not kept" value={reason} onInput={setReason} />
      <div class="row submit">
        <Confirm text={isPending ? "Rotate (a key is pending already)" : "Rotate the signing key"}
          question="A new key is made and published now." yes="Yes, rotate"
          isDisabled={rotation.isBusy || !may(access, "keys:write")} onYes={rotate} />
      </div>
      <div role="status"><Rotated answer={rotation.answer} /></div>
    </section>
  );
}

function Rotated({ answer }: { answer: Answer<NewKey> | null }) {
  if (answer === null) return null;
  if (!answer.ok) return <ProblemNotice problem={answer.problem} />;
  const { kid, signs_from, repeated } = answer.value;
  return (
    <p class="notice good">
      {repeated ? "A key was pending already: " : "The new key is published: "}
      <code><Foreign text={kid} /></code>. It signs from <Moment at={signs_from} />.
    </p>
  );
}

function cells(key: SigningKey, now: number) {
  const { kid, alg, state, created_at, signs_from, retires_at } = key;
  const left_seconds = signs_from - now;
  return [
    <>
      <code><Foreign text={kid} /></code>
      <span class="quiet small"> <Foreign text={alg} /></span>
    </>,
    <>
      <span class={`pill ${LOOKS[state] ?? "quiet"}`}><Foreign text={state} /></span>
      <div class="quiet small">{MEANINGS[state]}</div>
    </>,
    <Moment at={created_at} />,
    state === "pending"
      ? <strong class="unknown">
          {left_seconds > 0 ? `in ${duration(left_seconds)}` : "any moment"}
        </strong>
      : <Moment at={signs_from} />,
    retires_at === null ? <span class="quiet">not planned</span> : <Moment at={retires_at} />,
  ];
}

function isOverdue({ state, signs_from, retires_at }: SigningKey, now: number): boolean {
  return (state === "pending" && signs_from <= now) || (retires_at !== null && retires_at <= now);
}

const COLUMNS = ["Key", "State", "Created", "Signs from", "Retires"];
const LOOKS: Record<string, string> = { active: "good", dead: "bad", pending: "unknown" };
const MEANINGS: Record<string, string> = {
  active: "signs new tokens",
  dead: "switched off",
  pending: "published, does not sign yet",
  verifying: "its tokens still verify",
};
