// Opens a test session, and hands its access token to the inspector.

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import type { Tokens } from "../shared/answers";
import { userProblem } from "./api";
import { Needs, may, type Access } from "./access";
import { CopyButton } from "../shared/copy-button";
import { Field } from "../shared/field";
import { sizeBytes } from "../shared/format";
import { ShownText } from "../shared/shown-text";
import { Moment } from "../shared/moment";
import { Facts, ProblemNotice } from "../shared/outcome";
import { useSubmit } from "../shared/submit";

interface Props {
  access: Access;
  /** The user to log in. */
  sub: string;
  onOpen(sub: string): void;
}

export function OpenSession({ access, sub, onOpen }: Props) {
  const [user, setUser] = useState<string | null>(null);
  const [device, setDevice] = useState("");
  const [scope, setScope] = useState("");
  const [complaint, complain] = useState<string | null>(null);
  const { isBusy, answer, send, clear } = useSubmit<Tokens>();
  const id = useId();
  const named = user ?? sub;
  const submit = async (event: Event) => {
    event.preventDefault();
    const problem = userProblem(named)
      ?? (sizeBytes(device) > 128 ? "The device must have at most 128 bytes." : null);
    complain(problem);
    if (problem !== null) return clear();
    // What is undefined is left out.
    const rest = { device: device || undefined, scope: scope.trim() || undefined };
    const body = JSON.stringify({ sub: named, ...rest });
    const received = await send(body, (key) => access.plane.openSession(body, key));
    if (received?.ok) onOpen(named);
  };
  return (
    <section class="card" aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Open a test session</h2>
      <Needs access={access} scope="sessions:write" to="open a session" />
      <form onSubmit={submit}>
        <Field label={<>User (<code>sub</code>)</>} value={named} onInput={setUser} />
        <Field label="Device" note="optional" value={device} placeholder="phone"
          onInput={setDevice} />
        <Field label="Scope" note="optional; names separated by spaces" value={scope}
          placeholder="read write" onInput={setScope} />
        <p class="row submit">
          <button class="primary" disabled={isBusy || !may(access, "sessions:write")}>
            {isBusy ? "Opening…" : "Open session"}
          </button>
        </p>
      </form>
      <div role="alert">{complaint && <p class="notice bad">{complaint}</p>}</div>
      <div role="status">
        {answer?.ok && <p class="notice good">The session is open.</p>}
        {answer?.ok === false && <ProblemNotice problem={answer.problem} />}
      </div>
      {answer?.ok && <Opened key={answer.value.jti} tokens={answer.value} />}
    </section>
  );
}

function Opened({ tokens }: { tokens: Tokens }) {
  const { access_token, refresh_token, session_id, jti, expires_at, session_expires_at } = tokens;
  const inspect = () => {
    window.dispatchEvent(new CustomEvent("offswitch:inspect", { detail: { token: access_token } }));
    location.hash = "#inspector";
  };
  return (
    <>
      <Facts facts={[
        ["Session", <code><ShownText text={session_id} /></code>],
        ["Ends at", <Moment at={session_expires_at} />],
        ["jti", <code><ShownText text={jti} /></code>],
        ["exp", <><Moment at={expires_at} /> <code class="quiet">{expires_at}</code></>],
      ]} />
      <Secret name="Access token" text={access_token}>
        <button type="button" onClick={inspect}>Inspect</button>
      </Secret>
      <Secret name="Refresh token" text={refresh_token} />
    </>
  );
}

function Secret(
  { name, text, children }: { name: string; text: string; children?: ComponentChildren },
) {
  const [isShown, show] = useState(false);
  const verb = isShown ? "Hide" : "Show";
  return (
    <div class="secret">
      <div class="row">
        <strong>{name}</strong>
        <button type="button" aria-expanded={isShown} aria-label={`${verb} ${name}`}
          onClick={() => show(!isShown)}>{verb}</button>
        <CopyButton label="Copy" name={name} isSmall text={() => text} />
        {children}
      </div>
      {isShown && <pre><code><ShownText text={text} /></code></pre>}
    </div>
  );
}
