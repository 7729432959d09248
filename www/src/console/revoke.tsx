// Revokes one token, session, user or key.

import { useId, useState } from "preact/hooks";
import type { Accepted } from "../shared/answers";
import { Needs, may, type Access } from "./access";
import { Confirm } from "../shared/confirm";
import { Field } from "../shared/field";
import { visible } from "../shared/invisible";
import { Outcome } from "../shared/outcome";
import { KIND_NAMES, KINDS, entryOf, isKind, reasonProblem, type Kind } from "./revocation";
import { useSubmit } from "../shared/submit";

export function Revoke({ access }: { access: Access }) {
  const [draft, setDraft] = useState(EMPTY);
  const [complaint, complain] = useState<string | null>(null);
  const [done, setDone] = useState("Revoked.");
  const { isBusy, answer, send, clear } = useSubmit<Accepted>();
  const id = useId();
  const put = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const { kind, name, exp, issuer, reason } = draft;
  const isReady = () => {
    const checked = bodyOf(draft);
    complain("complaint" in checked ? checked.complaint : null);
    if ("complaint" in checked) clear();
    return !("complaint" in checked);
  };
  const revoke = async () => {
    const checked = bodyOf(draft);
    if ("complaint" in checked) return;
    await send(checked.body, (key) => access.plane.revoke(checked.body, key));
    setDone(`Revoked. ${EFFECTS[kind]}`);
  };
  const isOwnOnly = kind === "token" || kind === "refresh_token";
  return (
    <section class="card" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Revoke</h2>
      <Needs access={access} scope="revocations:write" to="revoke" />
      <form onSubmit={(event) => event.preventDefault()}>
        <fieldset class="kinds">
          <legend>What</legend>
          {KIND_NAMES.map((one) => (
            <label key={one} class="choice">
              <input type="radio" name={`${id}-kind`} value={one} checked={kind === one}
                onChange={(event) => {
                  const { value } = event.currentTarget;
                  if (isKind(value)) put({ kind: value, name: "" });
                }} />
              {KINDS[one]}
            </label>
          ))}
        </fieldset>
        <p class="quiet small">{EFFECTS[kind]}</p>
        <Field key={kind} label={LABELS[kind]} value={name} isExact {...(isOwnOnly && { rows: 4 })}
          onInput={(value) => put({ name: value })} />
        {kind === "jti" && <Field label="exp" note="optional; the token's own" value={exp} isExact
          placeholder="1800000000 or 2030-01-31T12:00:00Z"
          onInput={(value) => put({ exp: value })} />}
        <Field label="Reason" note="optional, recorded in the log" value={reason}
          onInput={(value) => put({ reason: value })} />
        {!isOwnOnly && <Field label="Issuer" note="optional; a registered one, this control plane by default"
          value={issuer} placeholder="https://your-idp.example"
          onInput={(value) => put({ issuer: value })} />}
        <div class="row submit">
          <Confirm text={isBusy ? "Revoking…" : "Revoke"} look="danger" yes="Yes, revoke"
            question={questionFor(draft, access.status?.issuer)}
            isDisabled={isBusy || !may(access, "revocations:write")} onAsk={isReady} onYes={revoke} />
        </div>
      </form>
      <div role="alert">{complaint && <p class="notice bad">{complaint}</p>}</div>
      <Outcome answer={answer} done={done} />
    </section>
  );
}

/** A signing key is named with its issuer: the effect is the largest, and there is no way back. */
function questionFor({ kind, name, issuer }: Draft, ownIssuer: string | undefined): string {
  const own = ownIssuer === undefined ? "" : ` (${visible(ownIssuer)})`;
  const of = issuer === "" ? `this control plane${own}` : visible(issuer);
  if (kind === "kid") {
    return `Every token that the key “${visible(name)}” of ${of} signed, or will sign, is refused by `
      + "every verifier, for good. There is no way back.";
  }
  const isSecret = kind === "token" || kind === "refresh_token";
  const what = isSecret ? "" : ` It names “${visible(name)}” of ${of}.`;
  return `${EFFECTS[kind]}${what} There is no way back.`;
}

function bodyOf(draft: Draft): { body: string } | { complaint: string } {
  const { kind, exp, issuer, reason } = draft;
  const isSecret = kind === "token" || kind === "refresh_token";
  // White space around a token does not belong to it; a user's name may begin with a space.
  const name = isSecret ? draft.name.trim() : draft.name;
  if (name === "") return { complaint: `Enter the ${LABELS[kind].toLowerCase()} first.` };
  const fields = { [kind]: name, ...(kind === "jti" && { exp }), ...(!isSecret && { issuer }) };
  const checked = entryOf(fields);
  if ("complaint" in checked) return checked;
  const problem = reasonProblem(reason);
  if (problem !== null) return { complaint: problem };
  return { body: JSON.stringify({ ...checked.entry, ...(reason !== "" && { reason }) }) };
}

interface Draft {
  kind: Kind;
  name: string;
  exp: string;
  issuer: string;
  reason: string;
}

const EMPTY: Draft = { kind: "token", name: "", exp: "", issuer: "", reason: "" };
const LABELS: Record<Kind, string> = {
  jti: "jti",
  kid: "kid",
  refresh_token: "Refresh token",
  session_id: "Session id",
  sub: "User (sub)",
  token: "Access token",
};
const EFFECTS: Record<Kind, string> = {
  jti: "One token is revoked.",
  kid: "Every token that this key signed is revoked, for good.",
  refresh_token: "Its session cannot be refreshed; the current access token stays valid until it expires.",
  session_id: "One device is logged out: every token of that session is revoked.",
  sub: "Every token that the user has now is revoked; the user can log in again immediately.",
  token: "This one token is revoked; the control plane reads its claims.",
};
