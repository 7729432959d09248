// The issuers whose tokens can be revoked: listed, registered, changed, removed.

import { useRef, useState } from "preact/hooks";
import type {
  Examined, Issuer, IssuerChanged, ReceiverFailure, ReceiverState, StreamState,
} from "../shared/answers";
import { Card } from "../shared/card";
import { Confirm } from "../shared/confirm";
import { duration } from "../shared/format";
import { visible } from "../shared/invisible";
import { Moment } from "../shared/moment";
import { ProblemNotice, Selector } from "../shared/outcome";
import { ShownText } from "../shared/shown-text";
import { useSubmit } from "../shared/submit";
import { Table } from "../shared/table";
import { Needs, may, type Access } from "./access";
import { draftOf, type IssuerDraft } from "./issuer-fields";
import { IssuerChecks } from "./issuer-checks";
import { IssuerForm } from "./issuer-form";
import type { Issuers as Registered } from "./issuers-use";

export function Issuers({ access, issuers }: { access: Access; issuers: Registered }) {
  const [changing, change] = useState<IssuerDraft | null>(null);
  const [serial, setSerial] = useState(0);
  const [checked, setChecked] = useState("");
  const removing = useSubmit<IssuerChanged>();
  const checking = useSubmit<Examined>();
  const place = useRef<HTMLDivElement>(null);
  const { list, problem } = issuers;
  const canWrite = may(access, "issuers:write");
  const canCheck = may(access, "doctor:run");
  const open = (draft: IssuerDraft | null) => {
    change(draft);
    setSerial(serial + 1);
  };
  const remove = async (name: string) => {
    await removing.send(name, (key) => access.plane.deleteIssuer(name, key));
    if (changing?.name === name) open(null);
    // The button that had the focus disappears with its row.
    place.current?.focus();
    await issuers.reload();
  };
  const check = async (name: string) => {
    setChecked(name);
    await checking.send(name, () => access.plane.examine(name));
  };
  return (
    <>
      <Card title="Issuers">
        <p class="quiet">
          The identity providers whose tokens can be revoked here. Verifiers learn from the feed by which
          claims they look tokens up, and how long tokens may live.
        </p>
        <Needs access={access} scope="issuers:write" to="register, change and remove issuers" />
        <div role="status" ref={place} tabIndex={-1}>
          {removing.answer?.ok && (
            <p class="notice good">
              <strong>{removing.answer.value.name}</strong> is removed. What was revoked stays revoked.
            </p>
          )}
          {removing.answer?.ok === false && <ProblemNotice problem={removing.answer.problem} />}
          <IssuerChecks name={checked} isBusy={checking.isBusy} answer={checking.answer} />
        </div>
        {problem && <ProblemNotice problem={problem} />}
        {list.length === 0 && problem === null && access.plane.hasKey && (
          <p class="quiet">No issuer is registered. Tokens of this control plane can always be revoked.</p>
        )}
        {list.length > 0 && (
          <Table caption="Issuers, by name" columns={COLUMNS} rows={list.map((one) => ({
            key: one.name,
            cells: cells(one, {
              isBusy: removing.isBusy || checking.isBusy,
              change: canWrite ? () => open(draftOf(one)) : null,
              check: canCheck ? () => check(one.name) : null,
              remove: () => remove(one.name),
            }),
          }))} />
        )}
      </Card>
      {canWrite && <IssuerForm key={serial} access={access} before={changing}
        onCancel={() => open(null)} onDone={issuers.reload} />}
    </>
  );
}

/** What can be done with an issuer; null is what the API key may not do. */
interface Actions {
  isBusy: boolean;
  change: (() => void) | null;
  check: (() => void) | null;
  remove: () => void;
}

function cells(one: Issuer, { isBusy, change, check, remove }: Actions) {
  const { name, issuer, epoch, horizon_seconds: horizon } = one;
  return [
    <>
      <strong>{name}</strong>
      <div class="quiet small"><code><ShownText text={issuer} /></code></div>
    </>,
    <span title={`${horizon} s`}>{duration(horizon)}</span>,
    <dl class="roles">
      {ROLES.map(([role, field]) => (
        <div key={field}><dt>{role}</dt><dd><Claim name={one[field]} /></dd></div>
      ))}
    </dl>,
    <ul class="plain">
      {one.selectors_in_use.map((paths) => (
        <li key={paths.join("\n")}><Selector paths={paths} /></li>
      ))}
    </ul>,
    epoch === 0 ? <span class="quiet">never</span> : <Moment at={epoch} />,
    one.receiver_status.length === 0 ? <span class="quiet">none</span> : (
      <ul class="plain">{one.receiver_status.map((state) => <Receiver key={state.receiver} {...state} />)}</ul>
    ),
    change === null && check === null ? <span class="quiet">–</span> : (
      <div class="row">
        {check && (
          <button type="button" aria-label={`Check ${name}`} disabled={isBusy} onClick={check}>
            Check
          </button>
        )}
        {change && (
          <button type="button" aria-label={`Change ${name}`} disabled={isBusy} onClick={change}>
            Change
          </button>
        )}
        {change && (
          <Confirm text="Remove" label={`Remove ${name}`} yes="Yes, remove it" isDisabled={isBusy}
            question={`Nothing of “${visible(issuer)}” can be revoked any more. What was revoked stays `
              + "revoked until it has expired."}
            onYes={remove} />
        )}
      </div>
    ),
  ];
}

function Claim({ name }: { name: string }) {
  return name === "" ? <span class="quiet">none</span> : <code><ShownText text={name} /></code>;
}

/** What the process that answers has seen of a receiver. */
function Receiver(state: ReceiverState) {
  const { receiver, accepted, ignored, failed, accepted_at: at, last_error: error, stream, polling } = state;
  return (
    <li>
      <code>{receiver}</code>
      <div class="small">
        {accepted} accepted, {ignored} ignored{typeof at === "number" && <>, last <Moment at={at} /></>}; {failed} failed
      </div>
      {stream && <Stream {...stream} />}
      {polling && (
        <div class="small">
          {typeof polling.answered_at === "number"
            ? <>polled <Moment at={polling.answered_at} /></>
            : "not polled yet"}
        </div>
      )}
      <Failure what="polling" error={polling?.error} />
      <Failure what="last failure" error={error} />
    </li>
  );
}

/** A stream of events at its transmitter. */
function Stream({ status, at, id, verified_at: verified, asked_at: asked, error }: StreamState) {
  return (
    <>
      <div class="small">
        stream {typeof id === "string" && <code><ShownText text={id} /></code>}{" "}
        {typeof status === "string" && (
          status === "enabled" ? status : <strong class="bad">{status}</strong>
        )}{" "}
        {typeof at === "number" && <Moment at={at} />}
        {typeof verified === "number" ? <>, verified <Moment at={verified} /></>
          : typeof asked === "number" && <>, verification asked for <Moment at={asked} /></>}
      </div>
      <Failure what="stream" error={error} />
    </>
  );
}

function Failure({ what, error }: { what: string; error: ReceiverFailure | null | undefined }) {
  if (!error) return null;
  return (
    <div class="small">
      {what} <Moment at={error.at} />: <code>{error.code}</code> <ShownText text={error.detail} />
    </div>
  );
}

const COLUMNS = ["Issuer", "Horizon", "Ids", "Looked up by", "Red button", "Receivers", "Action"];
const ROLES = [
  ["token", "token_id_claim"], ["session", "session_id_claim"], ["user", "user_id_claim"],
] as const;
