// The API keys of the control plane: listed, created, revoked.

import { useEffect, useId, useRef, useState } from "preact/hooks";
import type { ApiKey, ApiKeyList, NewApiKey } from "../shared/answers";
import { Card } from "../shared/card";
import { Confirm } from "../shared/confirm";
import { CopyButton } from "../shared/copy-button";
import { Field } from "../shared/field";
import { visible } from "../shared/invisible";
import { Moment } from "../shared/moment";
import { Facts, mayBeDone, ProblemNotice } from "../shared/outcome";
import { nowSeconds, type Answer } from "../shared/request";
import { ShownText } from "../shared/shown-text";
import { useSubmit } from "../shared/submit";
import { Table } from "../shared/table";
import { Needs, may, type Access } from "./access";

export function ApiKeys({ access, isShown }: { access: Access; isShown: boolean }) {
  const [listed, setListed] = useState<Answer<ApiKeyList> | null>(null);
  const revoking = useSubmit<ApiKey>();
  const place = useRef<HTMLDivElement>(null);
  const canManage = may(access, "api-keys:write");
  const load = async () => {
    const answer = await access.plane.apiKeys();
    setListed(answer);
    if (answer.ok) access.setNames(answer.value.api_keys);
  };
  useEffect(() => {
    if (isShown && canManage) void load();
  }, [isShown, canManage, access.plane]);
  const revoke = async (id: string) => {
    await revoking.send(id, () => access.plane.revokeApiKey(id));
    // The button that had the focus disappears with its row.
    place.current?.focus();
    await load();
  };
  const keys = listed?.ok ? listed.value.api_keys : [];
  return (
    <>
      <Card title="API keys">
        <Needs access={access} scope="api-keys:write" to="manage API keys" />
        <div role="status" ref={place} tabIndex={-1}>
          {revoking.answer?.ok && (
            <p class="notice good">
              The key <strong><ShownText text={revoking.answer.value.name} /></strong> is revoked. Every
              process refuses it within five seconds.
            </p>
          )}
          {revoking.answer?.ok === false && <ProblemNotice problem={revoking.answer.problem} />}
        </div>
        {listed?.ok === false && canManage && <ProblemNotice problem={listed.problem} />}
        {keys.length > 0 && (
          <Table caption="API keys, oldest first" columns={COLUMNS}
            rows={keys.map((key) => ({
              key: key.id,
              cells: cells(key, access.status?.key.id, revoking.isBusy || !canManage, revoke),
            }))} />
        )}
      </Card>
      <CreateKey access={access} reload={load} />
    </>
  );
}

function cells(
  key: ApiKey,
  ownId: string | undefined,
  isDisabled: boolean,
  revoke: (id: string) => void,
) {
  const { id, name, scopes, created_at, expires_at, expired } = key;
  const isOwn = id === ownId;
  const shown = visible(name);
  return [
    <>
      <strong><ShownText text={name} /></strong>{isOwn && <span class="quiet"> (this key)</span>}
      <div class="quiet small"><code><ShownText text={id} /></code></div>
    </>,
    <ul class="plain row scope-list">
      {scopes.map((scope) => <li key={scope}><code><ShownText text={scope} /></code></li>)}
    </ul>,
    <Moment at={created_at} />,
    expires_at === null || expires_at === undefined ? <span class="quiet">never</span>
      : <>{expired && <strong class="bad">expired </strong>}<Moment at={expires_at} /></>,
    <Confirm text="Revoke" label={`Revoke ${shown}`} yes="Yes, revoke it" isDisabled={isDisabled}
      question={isOwn
        ? `Every caller with the key “${shown}” is refused from now on. You are signed in with it.`
        : `Every caller with the key “${shown}” is refused from now on.`}
      onYes={() => revoke(id)} />,
  ];
}

function CreateKey({ access, reload }: { access: Access; reload(): void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly string[]>([]);
  const [days, setDays] = useState("");
  const [complaint, complain] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<Answer<NewApiKey> | null>(null);
  const choices = access.status?.key.scopes ?? [];
  const create = async (event: Event) => {
    event.preventDefault();
    const problem = problemOf(name, scopes, days);
    complain(problem);
    if (problem !== null || isBusy) return;
    setBusy(true);
    const expires = days === "" ? {} : { expires_at: Math.floor(nowSeconds()) + Number(days) * 86_400 };
    const created = await access.plane.createApiKey(JSON.stringify({ name, scopes, ...expires }));
    setBusy(false);
    setAnswer(created);
    if (created.ok || mayBeDone(created.problem)) reload();
    if (!created.ok) return;
    setName("");
    setScopes([]);
    setDays("");
  };
  const toggle = (scope: string) =>
    setScopes(scopes.includes(scope) ? scopes.filter((one) => one !== scope) : [...scopes, scope]);
  return (
    <Card title="Create an API key">
      <form onSubmit={create}>
        <Field label="Name" note="1 to 100 characters" value={name} placeholder="edge"
          onInput={setName} />
        <fieldset class="kinds">
          <legend>Scopes <span class="quiet">(at most those of your own key)</span></legend>
          {choices.map((scope) => (
            <label key={scope} class="choice">
              <input type="checkbox" checked={scopes.includes(scope)} onChange={() => toggle(scope)} />
              <code>{scope}</code>
            </label>
          ))}
        </fieldset>
        <Field label="Expires after, days" note="optional" inputMode="numeric" value={days}
          placeholder="never" onInput={setDays} />
        <p class="row submit">
          <button class="primary" disabled={isBusy || !may(access, "api-keys:write")}>
            {isBusy ? "Creating…" : "Create key"}
          </button>
        </p>
      </form>
      <div role="alert">
        {complaint && <p class="notice bad">{complaint}</p>}
        {answer?.ok === false && <ProblemNotice problem={answer.problem} inDoubt={IN_DOUBT} />}
      </div>
      {answer?.ok && <Created created={answer.value} onDone={() => setAnswer(null)} />}
    </Card>
  );
}

/** The secret is shown until it is dismissed; then nothing in the page has it. */
function Created({ created, onDone }: { created: NewApiKey; onDone(): void }) {
  const id = useId();
  return (
    <section class="notice good" aria-labelledby={id}>
      <p class="tight" id={id} role="status">
        <strong>The key is created. Copy its secret now: it is shown only once.</strong>
      </p>
      <pre class="secret-text"><code>{created.key}</code></pre>
      <div class="row">
        <CopyButton label="Copy the secret" text={() => created.key} />
        <button type="button" onClick={onDone}>Done, hide it</button>
      </div>
      <Facts facts={[["Name", <ShownText text={created.name} />], ["Id", <code>{created.id}</code>]]} />
    </section>
  );
}

function problemOf(name: string, scopes: readonly string[], days: string): string | null {
  if (name.trim() === "" || [...name].length > 100) return "The name must have 1 to 100 characters.";
  if (scopes.length === 0) return "Choose at least one scope.";
  const isDays = days === "" || (/^\d+$/.test(days) && Number(days) >= 1 && Number(days) <= 36_500);
  return isDays ? null : "The number of days must be a whole number from 1 to 36500.";
}

/** The request has no idempotency key, because no answer shows a secret twice. */
const IN_DOUBT = "It is unknown whether the key was created. Look for it in the list above, and revoke it "
  + "there: its secret is lost. Creating it again makes a second key.";
const COLUMNS = ["Name", "Scopes", "Created", "Expires", "Action"];
