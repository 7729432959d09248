// Revokes the tokens that have certain claims.

import { useId, useRef, useState } from "preact/hooks";
import type { Accepted } from "../shared/answers";
import { Card } from "../shared/card";
import { Confirm } from "../shared/confirm";
import { Field } from "../shared/field";
import { visible } from "../shared/invisible";
import { Outcome } from "../shared/outcome";
import { useSubmit } from "../shared/submit";
import { Needs, may, type Access } from "./access";
import {
  claimsBody, claimsText, MAX_ROWS, VALUE_KINDS, type ClaimRow, type ClaimsDraft, type ValueKind,
} from "./claim-rows";
import { IssuerSelect } from "./issuer-select";
import type { Issuers } from "./issuers-use";

export function RevokeClaims({ access, issuers }: { access: Access; issuers: Issuers }) {
  const [draft, setDraft] = useState<ClaimsDraft>(EMPTY);
  const [complaint, complain] = useState<string | null>(null);
  const { isBusy, answer, send, clear } = useSubmit<Accepted>();
  const put = (change: Partial<ClaimsDraft>) => setDraft((before) => ({ ...before, ...change }));
  const isReady = () => {
    const checked = claimsBody(draft);
    complain("complaint" in checked ? checked.complaint : null);
    if ("complaint" in checked) clear();
    return !("complaint" in checked);
  };
  const revoke = async () => {
    const checked = claimsBody(draft);
    if ("complaint" in checked) return;
    await send(checked.body, (key) => access.plane.revoke(checked.body, key));
  };
  const wrong = answer?.ok === false ? answer.problem.pointer : undefined;
  return (
    <Card title="Revoke by claims">
      <p class="quiet">
        Every token that has all of these claims is revoked. Verifiers need no configuration for it.
      </p>
      <Needs access={access} scope="revocations:write" to="revoke" />
      <form onSubmit={(event) => event.preventDefault()}>
        <IssuerSelect label="Issuer" issuers={issuers} value={draft.issuer}
          isWrong={wrong === "/issuer"} onChange={(issuer) => put({ issuer })} />
        <ClaimRows rows={draft.rows} isWrong={wrong === "/claims"} onChange={(rows) => put({ rows })} />
        <Field label="Issued before" note="optional; now by default" isExact
          value={draft.issuedBefore} placeholder="1800000000 or 2030-01-31T12:00:00Z"
          hint="Only tokens whose iat is before this time are revoked."
          isWrong={wrong === "/issued_before"}
          onInput={(issuedBefore) => put({ issuedBefore })} />
        <Field label="Reason" note="optional, recorded in the log" value={draft.reason}
          onInput={(reason) => put({ reason })} />
        <div class="row submit">
          <Confirm text={isBusy ? "Revoking…" : "Revoke by claims"} look="danger" yes="Yes, revoke"
            question={questionFor(draft, access.status?.issuer)}
            isDisabled={isBusy || !may(access, "revocations:write")} onAsk={isReady} onYes={revoke} />
        </div>
      </form>
      <div role="alert">{complaint && <p class="notice bad">{visible(complaint)}</p>}</div>
      <Outcome answer={answer} done="Revoked. Every token with these claims is refused." />
    </Card>
  );
}

interface RowsShown {
  rows: readonly ClaimRow[];
  isWrong: boolean;
  onChange(rows: readonly ClaimRow[]): void;
}

function ClaimRows({ rows, isWrong, onChange }: RowsShown) {
  const id = useId();
  const place = useRef<HTMLFieldSetElement>(null);
  const nextKey = useRef(rows.length);
  const put = (key: number, change: Partial<ClaimRow>) =>
    onChange(rows.map((row) => (row.key === key ? { ...row, ...change } : row)));
  const add = () => onChange([...rows, { ...EMPTY_ROW, key: nextKey.current++ }]);
  const remove = (key: number) => {
    onChange(rows.filter((row) => row.key !== key));
    // The button that had the focus disappears with its row.
    place.current?.focus();
  };
  return (
    <fieldset class="claims" ref={place} tabIndex={-1} aria-describedby={`${id}-note`}>
      <legend>Claims</legend>
      <p id={`${id}-note`} class="quiet small tight">
        A claim inside an object is named by a path, such as <code>/act/sub</code>. An array of texts
        matches by any of its elements.
      </p>
      {rows.map((row, index) => (
        <div key={row.key} class="claim-row">
          <Field label={`Claim ${index + 1}`} value={row.path} isExact isWrong={isWrong}
            placeholder={index === 0 ? "azp" : "sub"} onInput={(path) => put(row.key, { path })} />
          <div class="field">
            <label for={`${id}-${row.key}`}>Type {index + 1}</label>
            <select id={`${id}-${row.key}`} value={row.kind} onChange={(event) =>
              put(row.key, { kind: event.currentTarget.value as ValueKind })}>
              {Object.entries(VALUE_KINDS).map(([kind, text]) => (
                <option key={kind} value={kind}>{text}</option>
              ))}
            </select>
          </div>
          <Field label={`Value ${index + 1}`} value={row.value} isExact isWrong={isWrong}
            onInput={(value) => put(row.key, { value })} />
          {rows.length > 1 && (
            <button type="button" aria-label={`Remove claim ${index + 1}`}
              onClick={() => remove(row.key)}>Remove</button>
          )}
        </div>
      ))}
      {rows.length < MAX_ROWS && (
        <button type="button" class="add" onClick={add}>Add a claim</button>
      )}
    </fieldset>
  );
}

function questionFor({ issuer, rows, issuedBefore }: ClaimsDraft, own: string | undefined): string {
  const ownText = own === undefined ? "" : ` (${visible(own)})`;
  const of = issuer === "" ? `this control plane${ownText}` : visible(issuer);
  const when = issuedBefore === "" ? "issued until now" : `issued before ${issuedBefore}`;
  return `Every token of ${of} ${when} in which ${visible(claimsText(rows))} is revoked. There is no way `
    + "back.";
}

const EMPTY_ROW: ClaimRow = { key: 0, path: "", kind: "text", value: "" };
const EMPTY: ClaimsDraft = { issuer: "", rows: [EMPTY_ROW], issuedBefore: "", reason: "" };
