// The API key: what it may do, and the field where it is entered. It lives in memory alone.

import { useCallback, useMemo, useRef, useState } from "preact/hooks";
import { ControlPlane, SCOPES, type Scope } from "./api";
import type { Status } from "../shared/answers";
import type { Problem } from "../shared/request";
import { ProblemNotice } from "../shared/outcome";

/** The control plane as the key in use reaches it. */
export interface Access {
  plane: ControlPlane;
  /** What is known of each scope; nothing of those that were not tried yet. */
  standing: Partial<Record<Scope, "may" | "may_not">>;
  /** Why the key opens nothing at all. */
  refusal: Problem | null;
  /** What the control plane said of itself to this key. */
  status: Status | null;
  /** What is asked for while the key is being tried. */
  isTrying: boolean;
  use(apiKey: string): void;
  forget(): void;
  /** Counts the keys that were forgotten: what they fetched is forgotten with them. */
  generation: number;
}

export function useAccess(): Access {
  const [key, setKey] = useState<Key>({ text: null, serial: 0 });
  const [known, setKnown] = useState(NOTHING_KNOWN);
  const [isTrying, setTrying] = useState(false);
  const [generation, setGeneration] = useState(0);
  const [status, setStatus] = useState<Status | null>(null);
  const serial = useRef(0);
  const make = useCallback((text: string | null, its: number) => {
    return new ControlPlane(text, (scope, problem) => {
      // An answer to a key that was replaced says nothing about the new one.
      if (its === serial.current) setKnown((before) => learned(before, scope, problem));
    });
  }, []);
  const plane = useMemo(() => make(key.text, key.serial), [key]);
  const put = (text: string | null) => {
    serial.current += 1;
    setKnown(NOTHING_KNOWN);
    setStatus(null);
    setKey({ text, serial: serial.current });
    return serial.current;
  };
  const use = async (text: string) => {
    const its = put(text);
    setTrying(true);
    const told = await make(text, its).status();
    if (its !== serial.current) return;
    setStatus(told);
    setTrying(false);
  };
  const forget = () => {
    put(null);
    setTrying(false);
    setGeneration((before) => before + 1);
  };
  return { plane, ...known, status, isTrying, use, forget, generation };
}

export function may(access: Access, scope: Scope): boolean {
  return access.plane.hasKey && access.refusal === null && access.standing[scope] !== "may_not";
}

/** Says what a part needs, where the key does not have it. */
export function Needs({ access, scope, to }: { access: Access; scope: Scope; to: string }) {
  if (may(access, scope)) return null;
  const { plane, refusal } = access;
  const why = !plane.hasKey ? "Enter an API key" : refusal !== null ? "Enter another key" : null;
  return (
    <p class="notice unknown">
      {why ?? "This key may not do that: it lacks the scope"}
      {why && " with the scope"} <code>{scope}</code> {why ? "above " : "needed "}to {to}.
    </p>
  );
}

export function KeyField({ access }: { access: Access }) {
  const input = useRef<HTMLInputElement>(null);
  const [complaint, complain] = useState<string | null>(null);
  const { plane, refusal, isTrying } = access;
  const submit = (event: Event) => {
    event.preventDefault();
    const text = input.current?.value.trim() ?? "";
    const problem = keyProblem(text);
    complain(problem);
    if (problem !== null || input.current === null) return input.current?.focus();
    input.current.value = "";
    access.use(text);
  };
  const isOpen = !plane.hasKey || refusal !== null;
  return (
    <div class="key">
      {isOpen && (
        <form class="key-form" onSubmit={submit}>
          <label for="api-key">API key</label>
          <div class="field-row">
            <input id="api-key" ref={input} type="password" autocomplete="off" spellcheck={false}
              placeholder="osk_…" aria-describedby="api-key-note" />
            <button class="primary">Use key</button>
            {plane.hasKey && <button type="button" onClick={access.forget}>Forget key</button>}
          </div>
          <p id="api-key-note" class="quiet small">
            Kept in this tab's memory only: gone when you reload. The first one is
            in <code>admin.key</code> in the data folder.
          </p>
        </form>
      )}
      <div role="status">
        {complaint && <p class="notice bad">{complaint}</p>}
        {isTrying && <p class="quiet small">Asking what this key may do…</p>}
        {refusal && <ProblemNotice problem={refusal} />}
      </div>
      {!isOpen && <Scopes access={access} />}
    </div>
  );
}

function Scopes({ access }: { access: Access }) {
  return (
    <div class="scopes">
      <ul class="plain row" aria-label="What the API key may do">
        {SCOPES.map((scope) => {
          const standing = access.standing[scope];
          const [word, look] = standing === undefined ? ["not known", "quiet"]
            : standing === "may" ? ["may", "good"] : ["may not", "off"];
          return (
            <li key={scope} class={`pill ${look}`}>
              <span class="hearing">{word}: </span>{scope}
            </li>
          );
        })}
      </ul>
      <button type="button" onClick={access.forget}>Forget key</button>
    </div>
  );
}

function learned(before: Known, scope: Scope, problem: Problem | null): Known {
  // No answer, or none of the control plane's own, says nothing about the key.
  if (problem !== null && [0, 502, 503, 504].includes(problem.status)) return before;
  if (problem?.status === 401) return { ...before, refusal: problem };
  const standing = problem?.status === 403 ? "may_not" : "may";
  if (before.standing[scope] === standing) return before;
  return { ...before, standing: { ...before.standing, [scope]: standing } };
}

/** A header takes printable ASCII only; the control plane's keys are short. */
function keyProblem(text: string): string | null {
  if (text === "") return "Enter an API key first.";
  if (text.length > 400) return "This is too long to be an API key.";
  const isPlain = /^[\x21-\x7e]+$/.test(text);
  return isPlain ? null : "An API key has neither spaces nor special characters.";
}

type Key = { text: string | null; serial: number };
type Known = Pick<Access, "standing" | "refusal">;
const NOTHING_KNOWN: Known = { standing: {}, refusal: null };
