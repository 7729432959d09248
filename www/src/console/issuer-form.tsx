// Registers an issuer, or changes one.

import { useEffect, useRef, useState } from "preact/hooks";
import type { IssuerChanged } from "../shared/answers";
import { Card } from "../shared/card";
import { Field } from "../shared/field";
import { visible } from "../shared/invisible";
import { DurabilityWord, Facts, ProblemNotice } from "../shared/outcome";
import { ShownText } from "../shared/shown-text";
import { useSubmit } from "../shared/submit";
import { may, type Access } from "./access";
import { EMPTY, issuerBody, type IssuerDraft } from "./issuer-fields";

interface Props {
  access: Access;
  /** The issuer to change; null registers one. */
  before: IssuerDraft | null;
  onCancel(): void;
  onDone(): void;
}

export function IssuerForm({ access, before, onCancel, onDone }: Props) {
  const [draft, setDraft] = useState<IssuerDraft>(before ?? EMPTY);
  const [complaint, complain] = useState<string | null>(null);
  const first = useRef<HTMLInputElement>(null);
  const { isBusy, answer, send, clear } = useSubmit<IssuerChanged>();
  useEffect(() => {
    if (before !== null) first.current?.focus();
  }, []);
  const submit = async (event: Event) => {
    event.preventDefault();
    const checked = issuerBody(draft);
    complain("complaint" in checked ? checked.complaint : null);
    if ("complaint" in checked) return clear();
    const { name } = draft;
    const sent = await send(`${name} ${checked.body}`, (key) =>
      access.plane.putIssuer(name, checked.body, key));
    if (!sent?.ok) return;
    if (before === null) setDraft(EMPTY);
    onDone();
  };
  const wrong = answer?.ok === false ? answer.problem.pointer : undefined;
  const field = (name: keyof IssuerDraft) => ({
    value: draft[name],
    isExact: true,
    isWrong: wrong === `/${name}` || (wrong?.startsWith("/receivers") && /^logout_|^receivers$/.test(name)) === true,
    onInput: (value: string) => setDraft((held) => ({ ...held, [name]: value })),
  });
  return (
    <Card title={before === null ? "Register an issuer" : `Change ${before.name}`}>
      <p class="quiet">What is left empty takes its default.</p>
      <form onSubmit={submit}>
        {before === null && <Field label="Name" note="a-z 0-9 - _ ." placeholder="idp" {...field("name")} />}
        {before === null && (
          <div class="fields">
            <Field label="Preset" note="of a known provider" placeholder="entra" {...field("preset")} />
            <Field label="Parameters" note="one per line" rows={2} placeholder="tenant = 7f0c…"
              {...field("parameters")} />
          </div>
        )}
        <Field label="Issuer" note="the exact iss of its tokens; a preset has it" placeholder="https://idp.example"
          fieldRef={first} {...field("issuer")} />
        <div class="fields">
          <Field label="Horizon, seconds" placeholder="86400" inputMode="numeric"
            hint="The longest life of its tokens, from iat to exp. Verifiers refuse tokens that live longer."
            {...field("horizon_seconds")} />
          <Field label="Clock skew, seconds" placeholder="5" inputMode="numeric"
            hint="How far its clock may differ." {...field("clock_skew_seconds")} />
        </div>
        <p class="quiet">Enter <code>""</code> for a claim that its tokens do not have.</p>
        <div class="fields">
          <Field label="Token id claim" placeholder="jti" {...field("token_id_claim")} />
          <Field label="Session id claim" placeholder="sid" {...field("session_id_claim")} />
          <Field label="User id claim" placeholder="sub" {...field("user_id_claim")} />
        </div>
        <Field label="Discovery address" placeholder="https://idp.example/.well-known/openid-configuration"
          {...field("discovery_uri")} />
        <Field label="JWK set address" note="instead of the discovery address" {...field("jwks_uri")} />
        <Field label="Algorithms" placeholder="RS256 ES256 EdDSA" {...field("algorithms")} />
        <Field label="Selectors" note="one per line" rows={3} placeholder={"azp\nazp + sub"}
          hint="Further combinations of claims that verifiers look up. One that is missing is added when
            something is revoked by it."
          {...field("selectors")} />
        <div class="fields">
          <Field label="Back-channel logout clients" placeholder="client-id"
            hint={`Their logout tokens are accepted at /v1/receivers/${draft.name || "{name}"}/backchannel-logout.`}
            {...field("logout_clients")} />
          <Field label="A logout revokes" placeholder="session" note="session or user"
            hint="Access tokens without the session's id need user." {...field("logout_revokes")} />
        </div>
        <Field label="Other receivers" note="JSON" rows={3}
          placeholder={'{"events": {"audiences": ["https://rp.example"]}, "webhook": {"preset": "clerk"}}'}
          hint={`At /v1/receivers/${draft.name || "{name}"}/events and …/webhook. Their tables say what an event
            revokes.`}
          {...field("receivers")} />
        <p class="row submit">
          <button class="primary" disabled={isBusy || !may(access, "issuers:write")}>
            {isBusy ? "Saving…" : before === null ? "Register issuer" : "Save changes"}
          </button>
          {before !== null && <button type="button" onClick={onCancel}>Cancel</button>}
        </p>
      </form>
      <div role="alert">
        {complaint && <p class="notice bad">{visible(complaint)}</p>}
        {answer?.ok === false && <ProblemNotice problem={answer.problem} />}
      </div>
      <div role="status">{answer?.ok && <Saved changed={answer.value} />}</div>
    </Card>
  );
}

function Saved({ changed }: { changed: IssuerChanged }) {
  const { name, issuer, position, durability } = changed;
  return (
    <div class="notice good">
      <p class="tight"><strong>Saved. Tokens of this issuer can be revoked.</strong></p>
      <Facts facts={[
        ["Name", <code>{name}</code>],
        ["Issuer", <code><ShownText text={issuer} /></code>],
        ["Position", <code>{position}</code>],
        ["Durability", <DurabilityWord level={durability} />],
      ]} />
    </div>
  );
}
