// The filters of the log.

import { useId, useState } from "preact/hooks";
import { Field } from "../shared/field";
import type { LogFilters } from "./api";

interface Props {
  isActive: boolean;
  isBusy: boolean;
  /** Null ends the search. */
  onSearch(filters: LogFilters | null): void;
}

export function LogSearch({ isActive, isBusy, onSearch }: Props) {
  const [draft, setDraft] = useState(EMPTY);
  const [complaint, complain] = useState<string | null>(null);
  const id = useId();
  const put = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const submit = (event: Event) => {
    event.preventDefault();
    const filters = filtersOf(draft);
    const isEmpty = Object.keys(filters).length === 0;
    complain(isEmpty ? "Enter something to search for first." : null);
    if (!isEmpty) onSearch(filters);
  };
  const clear = () => {
    setDraft(EMPTY);
    complain(null);
    onSearch(null);
  };
  return (
    <details class="search">
      <summary>Search the log</summary>
      <form onSubmit={submit} aria-label="Search the log">
        <div class="fields">
          <div class="field">
            <label for={`${id}-kind`}>What was revoked</label>
            <select id={`${id}-kind`} value={draft.kind}
              onChange={(event) => put({ kind: event.currentTarget.value as Draft["kind"] })}>
              <option value="sub">User (sub)</option>
              <option value="session_id">Session</option>
              <option value="jti">Token (jti)</option>
              <option value="kid">Signing key (kid)</option>
            </select>
          </div>
          <Field label="Its exact name" value={draft.name} isExact onInput={(name) => put({ name })} />
          <Field label="Issuer" value={draft.issuer} placeholder="any"
            onInput={(issuer) => put({ issuer })} />
          <Field label="From" type="datetime-local" value={draft.since}
            onInput={(since) => put({ since })} />
          <Field label="Until" type="datetime-local" value={draft.until}
            onInput={(until) => put({ until })} />
        </div>
        <p class="row submit">
          <button disabled={isBusy}>{isBusy ? "Searching…" : "Search"}</button>
          {isActive && <button type="button" onClick={clear}>End the search</button>}
        </p>
      </form>
      <div role="alert">{complaint && <p class="notice bad">{complaint}</p>}</div>
    </details>
  );
}

function filtersOf({ kind, name, issuer, since, until }: Draft): LogFilters {
  const secondsOf = (text: string) => Math.floor(new Date(text).getTime() / 1000);
  return {
    ...(name !== "" && { [kind]: name }),
    ...(issuer !== "" && { issuer }),
    ...(since !== "" && { since: secondsOf(since) }),
    ...(until !== "" && { until: secondsOf(until) }),
  };
}

interface Draft {
  kind: "jti" | "kid" | "session_id" | "sub";
  name: string;
  issuer: string;
  since: string;
  until: string;
}

const EMPTY: Draft = { kind: "sub", name: "", issuer: "", since: "", until: "" };
