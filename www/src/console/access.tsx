// Signing in with an API key: what the key may do, and the form where it is entered.

import { useCallback, useEffect, useId, useMemo, useRef, useState } from "preact/hooks";
import type { ApiKey, Status } from "../shared/answers";
import { ProblemNotice } from "../shared/outcome";
import type { Problem } from "../shared/request";
import { ShownText } from "../shared/shown-text";
import { setSignIn, storedKey, storeKey } from "../shared/sign-in";
import { ControlPlane, SCOPES, type Scope } from "./api";
import { Moment } from "../shared/moment";

/** The control plane as the API key in use reaches it. */
export interface Access {
  plane: ControlPlane;
  /** Which scopes the key has; those that were not tried yet are missing. */
  granted: Partial<Record<Scope, boolean>>;
  /** Why the key is refused altogether. */
  refusal: Problem | null;
  /** What the control plane said about itself and the key. */
  status: Status | null;
  /** The names of API keys by their ids, as far as this key may read them. */
  names: ReadonlyMap<string, string>;
  /** Where keys were listed or changed, their names are known. */
  setNames(keys: readonly ApiKey[]): void;
  isTrying: boolean;
  signIn(apiKey: string, isStored: boolean): void;
  /** Asks again what the key may do, if the control plane has not answered that yet. */
  identify(): Promise<void>;
  signOut(): void;
  /** Counts sign-outs: what was fetched with a key is removed with it. */
  generation: number;
}

export function useAccess(): Access {
  const [key, setKey] = useState<Key>({ text: null, serial: 0 });
  const [known, setKnown] = useState(NOTHING_KNOWN);
  const [isTrying, setTrying] = useState(false);
  const [generation, setGeneration] = useState(0);
  const [status, setStatus] = useState<Status | null>(null);
  const [names, putNames] = useState<ReadonlyMap<string, string>>(new Map());
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
    putNames(new Map());
    setSignIn(null);
    setKey({ text, serial: serial.current });
    return serial.current;
  };
  const setNames = (keys: readonly ApiKey[]) =>
    putNames((before) => new Map([...before, ...keys.map(({ id, name }) => [id, name] as const)]));
  const signIn = async (text: string, isStored: boolean) => {
    const its = put(text);
    // A key that is refused is removed below; without an answer it may still be a good one.
    storeKey(isStored ? text : null);
    setTrying(true);
    await tried(text, its, make(text, its));
  };
  const tried = async (text: string, its: number, trial: ControlPlane) => {
    const received = await trial.status();
    if (its !== serial.current) return;
    setStatus(received);
    setTrying(false);
    if (received === null) return;
    const { key: { id, name, scopes }, issuer } = received;
    setSignIn({ apiKey: text, scopes, issuer });
    putNames(new Map([[id, name]]));
    if (!scopes.includes("api-keys:write")) return;
    const listed = await trial.apiKeys();
    if (its === serial.current && listed.ok) setNames(listed.value.api_keys);
  };
  const identify = async () => {
    if (key.text === null || status !== null || known.refusal !== null) return;
    await tried(key.text, key.serial, plane);
  };
  const signOut = () => {
    put(null);
    storeKey(null);
    setTrying(false);
    setGeneration((before) => before + 1);
  };
  useEffect(() => {
    const stored = storedKey();
    if (stored !== null) void signIn(stored, true);
  }, []);
  useEffect(() => {
    // A key that is refused now is no longer used anywhere in the page.
    if (known.refusal === null) return;
    setSignIn(null);
    storeKey(null);
  }, [known.refusal]);
  return {
    plane, ...known, status, names, setNames, isTrying, signIn, identify, signOut, generation,
  };
}

export function may(access: Access, scope: Scope): boolean {
  return access.plane.hasKey && access.refusal === null && access.granted[scope] !== false;
}

/** Says which scope a part needs if the key does not have it. */
export function Needs({ access, scope, to }: { access: Access; scope: Scope; to: string }) {
  if (may(access, scope)) return null;
  const { plane, refusal } = access;
  if (plane.hasKey && refusal === null) {
    return (
      <p class="notice unknown">
        This key lacks the scope <code>{scope}</code>, which is needed to {to}.
      </p>
    );
  }
  return (
    <p class="notice unknown">
      Sign in with {plane.hasKey ? "another" : "an"} API key that has the scope
      {" "}<code>{scope}</code> to {to}.
    </p>
  );
}

export function SignInForm({ access }: { access: Access }) {
  const input = useRef<HTMLInputElement>(null);
  const [complaint, complain] = useState<string | null>(null);
  const [isStored, setStored] = useState(false);
  const id = useId();
  const { plane, refusal, isTrying } = access;
  const submit = (event: Event) => {
    event.preventDefault();
    const text = input.current?.value.trim() ?? "";
    const problem = keyProblem(text);
    complain(problem);
    if (problem !== null || input.current === null) return input.current?.focus();
    input.current.value = "";
    access.signIn(text, isStored);
  };
  const isOpen = !plane.hasKey || refusal !== null;
  return (
    <div class="key">
      {isOpen && (
        <form class="key-form" onSubmit={submit}>
          <label for={id}>API key</label>
          <div class="field-row">
            <input id={id} ref={input} type="password" autocomplete="off" spellcheck={false}
              placeholder="osk_…" aria-describedby={`${id}-note`} />
            <button class="primary">Sign in</button>
            {plane.hasKey && <button type="button" onClick={access.signOut}>Sign out</button>}
          </div>
          <label class="choice small">
            <input type="checkbox" checked={isStored}
              onChange={(event) => setStored(event.currentTarget.checked)} />
            Stay signed in until this tab is closed (keeps the key in sessionStorage)
          </label>
          <p id={`${id}-note`} class="quiet small">
            Otherwise the key is kept in memory, and a reload signs you out. The first key is
            in <code>admin.key</code> in the data folder.
          </p>
        </form>
      )}
      <div role="status">
        {complaint && <p class="notice bad">{complaint}</p>}
        {isTrying && <p class="quiet small">Signing in…</p>}
        {refusal && <ProblemNotice problem={refusal} />}
      </div>
      {!isOpen && <SignedIn access={access} />}
    </div>
  );
}

function SignedIn({ access }: { access: Access }) {
  const { status } = access;
  const id = useId();
  return (
    <div class="signed-in">
      <div class="scopes">
        <span id={id} class="quiet small">Scopes</span>
        <ul class="plain row" aria-labelledby={id}>
          {SCOPES.map((scope) => {
            const isGranted = access.granted[scope];
            const [word, look] = isGranted === undefined ? ["unknown", "quiet"]
              : isGranted ? ["granted", "good"] : ["not granted", "off"];
            return (
              <li key={scope} class={`pill ${look}`}>
                <span class="visually-hidden">{word}: </span>{scope}
              </li>
            );
          })}
        </ul>
      </div>
      <p class="row tight">
        {status !== null && (
          <span class="small">
            <span class="quiet">Signed in as</span> <strong><ShownText text={status.key.name} /></strong>
            {status.key.expires_at !== null && status.key.expires_at !== undefined && (
              <span class="quiet">, expires <Moment at={status.key.expires_at} /></span>
            )}
          </span>
        )}
        <button type="button" onClick={access.signOut}>Sign out</button>
      </p>
    </div>
  );
}

function learned(before: Known, scope: Scope, problem: Problem | null): Known {
  // Without an answer of the control plane itself nothing is learned about the key.
  if (problem !== null && [0, 502, 503, 504].includes(problem.status)) return before;
  if (problem?.status === 401) return { ...before, refusal: problem };
  const isGranted = problem?.status !== 403;
  if (before.granted[scope] === isGranted) return before;
  return { ...before, granted: { ...before.granted, [scope]: isGranted } };
}

/** A header takes printable ASCII only; the control plane's keys are short. */
function keyProblem(text: string): string | null {
  if (text === "") return "Enter an API key first.";
  if (text.length > 400) return "This is too long to be an API key.";
  const isPlain = /^[\x21-\x7e]+$/.test(text);
  return isPlain ? null : "An API key has neither spaces nor special characters.";
}

type Key = { text: string | null; serial: number };
type Known = Pick<Access, "granted" | "refusal">;
const NOTHING_KNOWN: Known = { granted: {}, refusal: null };
