// The red button: a preview of its reach, a typed confirmation, then the press.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { Pressed } from "../shared/answers";
import { Needs, may, type Access } from "./access";
import { Field } from "../shared/field";
import { count } from "../shared/format";
import { ShownText } from "../shared/shown-text";
import { Moment } from "../shared/moment";
import { DurabilityWord, Facts, ProblemNotice } from "../shared/outcome";
import { useSecondHand } from "./polling";
import { IssuerSelect } from "./issuer-select";
import type { Issuers } from "./issuers-use";
import { reasonProblem } from "./revocation";
import { useSubmit } from "../shared/submit";

interface Props {
  access: Access;
  issuers: Issuers;
  isShown: boolean;
}

export function RedButton({ access, issuers, isShown }: Props) {
  const [issuer, setIssuer] = useState("");
  const [landing, setLanding] = useState<Landing>("end");
  const [reason, setReason] = useState("");
  const [complaint, complain] = useState<string | null>(null);
  const [found, setFound] = useState<Look | null>(null);
  // An issuer's sessions are its own. The phrase confirms the choices: others need another preview.
  const choice: Choice = issuer === "" ? { sessions: landing } : { issuer };
  const chosen = JSON.stringify(choice);
  const look = found?.chosen === chosen ? found : null;
  const looking = useSubmit<Pressed>();
  const pressing = useSubmit<Pressed>();
  const nowMs = useSecondHand(isShown && look !== null);
  const id = useId();
  const isOld = look !== null && nowMs - look.atMs > FRESH_MS;
  const canPress = may(access, "red-button");
  const preview = async () => {
    pressing.clear();
    setFound(null);
    const body = JSON.stringify({ dry_run: true, ...choice });
    const answer = await looking.send(String(Date.now()), (key) => access.plane.redButton(body, key));
    if (answer?.ok) setFound({ pressed: answer.value, chosen, atMs: Date.now() });
  };
  const press = async () => {
    const problem = reasonProblem(reason);
    complain(problem);
    // A computer that slept may show old numbers as new ones.
    if (problem !== null || look === null || Date.now() - look.atMs > FRESH_MS) return;
    const body = JSON.stringify({ ...choice, ...(reason !== "" && { reason }) });
    const call = (key: string) => access.plane.redButton(body, key);
    const answer = await pressing.send(`${look.atMs} ${body}`, call);
    if (!answer?.ok) return;
    setFound(null);
    void issuers.reload();
  };
  const { name = issuer } = issuers.list.find((one) => one.issuer === issuer) ?? {};
  return (
    <section class="card red" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Red button</h2>
      {issuer === ""
        ? <p>Revokes every token: all signing keys are revoked, a new key signs, and the epoch is raised.
            There is no way back.</p>
        : <p>Revokes every token that this issuer has issued so far: its epoch is raised. Its keys stay, and
            its new tokens are accepted. There is no way back.</p>}
      <Needs access={access} scope="red-button" to="press it" />
      <IssuerSelect label="Whose tokens" issuers={issuers} value={issuer} onChange={setIssuer} />
      {issuer === "" && <Landings chosen={landing} onChoose={setLanding} />}
      <Field label="Reason" note="optional, recorded in the log" value={reason} onInput={setReason} />
      <p class="row submit">
        <button type="button" class="primary" onClick={preview}
          disabled={looking.isBusy || pressing.isBusy || !canPress}>
          {looking.isBusy ? "Counting…" : look === null ? "Preview" : "Preview again"}
        </button>
        <span class="quiet">a preview changes nothing</span>
      </p>
      <div role="status">
        {looking.answer?.ok === false && <ProblemNotice problem={looking.answer.problem} />}
        {look !== null && <Reach pressed={look.pressed} ageSeconds={(nowMs - look.atMs) / 1000} />}
        {isOld && <p class="notice unknown">These numbers are older than a minute. Preview again
          before you press.</p>}
      </div>
      {look !== null && <Press key={look.atMs} phrase={phraseFor(look.pressed, name)}
        isDisabled={isOld || !canPress || pressing.isBusy} onPress={press} />}
      <div role="alert">
        {complaint && <p class="notice bad">{complaint}</p>}
        {pressing.answer?.ok === false && <ProblemNotice problem={pressing.answer.problem} />}
        {pressing.answer?.ok && <Done pressed={pressing.answer.value} />}
      </div>
    </section>
  );
}

function Landings({ chosen, onChoose }: { chosen: Landing; onChoose(one: Landing): void }) {
  const id = useId();
  return (
    <fieldset class="kinds">
      <legend>Sessions</legend>
      {LANDINGS.map(([one, name, meaning]) => (
        <label key={one} class="choice">
          <input type="radio" name={id} checked={chosen === one} onChange={() => onChoose(one)} />
          <span>{name} <span class="quiet">{meaning}</span></span>
        </label>
      ))}
    </fieldset>
  );
}

function Reach({ pressed, ageSeconds }: { pressed: Pressed; ageSeconds: number }) {
  const { reach, epoch, dead_kids } = pressed;
  const numbers: [number | undefined, string][] = [
    [reach?.users, "users"], [reach?.sessions, "sessions"], [reach?.tokens, "tokens"],
    [reach?.keys ?? dead_kids.length, "keys"],
  ];
  // Only the issuer knows its sessions.
  const isCounted = reach !== null && reach !== undefined;
  return (
    <div class="reach">
      <h3>It would reach</h3>
      {isCounted && (
        <dl class="numbers">
          {numbers.map(([value, name]) => (
            <div key={name}><dt>{name}</dt><dd>{value === undefined ? "?" : count(value)}</dd></div>
          ))}
        </dl>
      )}
      <Facts facts={[
        ["Epoch", <>
          tokens issued before <Moment at={epoch} /> <code class="quiet">{epoch}</code>
        </>],
        ["Revoked keys", <Kids kids={dead_kids} />],
      ]} />
      <p class="quiet small" aria-hidden="true">
        counted {Math.max(0, Math.floor(ageSeconds))} s ago
      </p>
    </div>
  );
}

function Press(
  { phrase, isDisabled, onPress }: { phrase: string; isDisabled: boolean; onPress(): void },
) {
  const [typed, type] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const id = useId();
  useEffect(() => field.current?.focus(), []);
  const isRight = typed === phrase;
  const submit = (event: Event) => {
    event.preventDefault();
    if (isRight && !isDisabled) onPress();
  };
  return (
    <form class="press" onSubmit={submit}>
      <label for={id}>To press it, type <code class="phrase">{phrase}</code></label>
      <input id={id} ref={field} class="mono" value={typed} autocomplete="off" spellcheck={false}
        autocapitalize="off" onInput={(event) => type(event.currentTarget.value)} />
      <button class="danger big" disabled={!isRight || isDisabled}>Press the red button</button>
    </form>
  );
}

function Done({ pressed }: { pressed: Pressed }) {
  const { position, durability, active_kid, dead_kids, epoch, sessions } = pressed;
  // Another issuer signs with its own keys.
  const isOwn = active_kid !== null && active_kid !== undefined;
  return (
    <div class="notice good">
      <p class="tight"><strong>Pressed. Every token issued before is revoked.</strong></p>
      <Facts facts={[
        ["Position", <code>{position ?? "unknown"}</code>],
        ["Durability", <DurabilityWord level={durability ?? "unknown"} />],
        ["Epoch", <Moment at={epoch} />],
        ...(isOwn ? ([
          ["Sessions", sessions === "keep" ? "kept: clients refresh" : "ended: all log in again"],
          ["Revoked keys", <Kids kids={dead_kids} />],
          ["Signs now", <code><ShownText text={active_kid ?? "unknown"} /></code>],
        ] as [string, ComponentChildren][]) : []),
      ]} />
    </div>
  );
}

function Kids({ kids }: { kids: string[] }) {
  if (kids.length === 0) return <span class="quiet">none</span>;
  return <>{kids.map((kid) => <div key={kid}><code><ShownText text={kid} /></code></div>)}</>;
}

function phraseFor({ reach }: Pressed, issuerName: string): string {
  if (issuerName !== "") return `switch off every token of ${issuerName}`;
  const tokens = reach?.tokens ?? 0;
  return `switch off ${tokens} ${tokens === 1 ? "token" : "tokens"}`;
}

type Landing = "end" | "keep";
type Choice = { sessions: Landing } | { issuer: string };
type Look = { pressed: Pressed; chosen: string; atMs: number };
const LANDINGS: [Landing, string, string][] = [
  ["end", "End every session:", "everyone logs in again"],
  ["keep", "Keep the sessions:", "refresh tokens survive and clients refresh"],
];
const FRESH_MS = 60_000;
