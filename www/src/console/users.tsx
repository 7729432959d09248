// A user and their devices.

import { useId, useRef, useState } from "preact/hooks";
import type { Accepted, Session } from "../shared/answers";
import { userProblem } from "./api";
import { Needs, may, type Access } from "./access";
import { Confirm } from "../shared/confirm";
import { Foreign } from "../shared/foreign";
import { Moment } from "../shared/moment";
import { OpenSession } from "./open-session";
import { Outcome, ProblemNotice } from "../shared/outcome";
import type { Answer } from "../shared/request";
import { useSubmit } from "../shared/submit";
import { Table } from "../shared/table";

export function Users({ access }: { access: Access }) {
  const [text, setText] = useState("");
  const [listed, setListed] = useState<Listed | null>(null);
  const [complaint, complain] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const asked = useRef(0);
  const id = useId();
  const list = async (sub: string) => {
    const problem = userProblem(sub);
    complain(problem);
    if (problem !== null) return setListed(null);
    const mine = (asked.current += 1);
    setBusy(true);
    const answer = await access.plane.sessions(sub);
    // An answer about the user before must not stand under the name of this one.
    if (mine !== asked.current) return;
    setBusy(false);
    setListed({ sub, answer });
  };
  return (
    <div class="columns">
      <section class="card wide" aria-labelledby={`${id}-title`}>
        <h2 id={`${id}-title`}>Users and their devices</h2>
        <Needs access={access} scope="sessions:read" to="see a user's devices" />
        <form onSubmit={(event) => { event.preventDefault(); list(text); }}>
          <label for={`${id}-sub`}>User (<code>sub</code>)</label>
          <div class="field-row">
            <input id={`${id}-sub`} value={text} autocomplete="off" spellcheck={false}
              placeholder="alice" onInput={(event) => setText(event.currentTarget.value)} />
            <button class="primary" disabled={isBusy || !may(access, "sessions:read")}>
              {isBusy ? "Asking…" : "List devices"}
            </button>
          </div>
        </form>
        <div role="alert">{complaint && <p class="notice bad">{complaint}</p>}</div>
        {listed && <Devices key={listed.sub} access={access} listed={listed}
          onChange={() => list(listed.sub)} />}
      </section>
      <OpenSession access={access} sub={text}
        onOpen={(sub) => may(access, "sessions:read") && (setText(sub), list(sub))} />
    </div>
  );
}

function Devices(
  { access, listed, onChange }: { access: Access; listed: Listed; onChange(): void },
) {
  const { isBusy, answer, send } = useSubmit<Accepted>();
  const [done, setDone] = useState("");
  const place = useRef<HTMLHeadingElement>(null);
  const { sub } = listed;
  const end = async (session: string | null) => {
    const content = JSON.stringify([sub, session]);
    await send(content, (key) => access.plane.endSessions(sub, session, key));
    setDone(session === null ? "Logged out everywhere." : "The device is logged out.");
    // The button that was pressed is about to leave with its row.
    place.current?.focus();
    onChange();
  };
  const isDisabled = isBusy || !may(access, "sessions:write");
  const sessions = listed.answer.ok ? listed.answer.value.sessions : [];
  return (
    <div class="devices">
      <div class="heading">
        <h3 ref={place} tabIndex={-1}>
          {sessions.length} {sessions.length === 1 ? "device" : "devices"} of <Foreign text={sub} />
        </h3>
        <Confirm text="Log out everywhere" yes="Yes, log out everywhere" isDisabled={isDisabled}
          question="Every token that this user holds now goes off, listed here or not."
          onYes={() => end(null)} />
      </div>
      <Needs access={access} scope="sessions:write" to="log out" />
      <Outcome answer={answer} done={done} />
      {!listed.answer.ok && <ProblemNotice problem={listed.answer.problem} />}
      {listed.answer.ok && sessions.length === 0 && (
        <p class="quiet">No living session. Tokens of other logins may still be out there: logging
          out everywhere reaches them too.</p>
      )}
      {sessions.length > 0 && (
        <Table caption="Living sessions, newest first" columns={COLUMNS}
          rows={sessions.map((session) => ({
            key: session.session_id, cells: cells(session, isDisabled, end),
          }))} />
      )}
    </div>
  );
}

function cells(session: Session, isDisabled: boolean, end: (id: string) => void) {
  const { session_id, device, user_agent, ip, client_id, scope, refreshes } = session;
  const name = device ?? "unnamed device";
  return [
    <>
      <Foreign text={name} />
      {user_agent && <div class="quiet small"><Foreign text={user_agent} /></div>}
      {ip && <div class="quiet small"><Foreign text={ip} /></div>}
      <div class="quiet small">
        <Foreign text={client_id} />{scope && <>, <Foreign text={scope} /></>}
      </div>
    </>,
    <Moment at={session.opened_at} />,
    refreshes === 0 ? <span class="quiet">never</span>
      : <><Moment at={session.last_used_at} /> <span class="quiet">({refreshes}×)</span></>,
    <Moment at={session.expires_at} />,
    <code class="small"><Foreign text={session_id} /></code>,
    <Confirm text="Log out" label={`Log out ${name}`} yes="Yes, log out" isDisabled={isDisabled}
      question="This device's tokens go off at once." onYes={() => end(session_id)} />,
  ];
}

interface Listed {
  sub: string;
  answer: Answer<{ sessions: Session[] }>;
}

const COLUMNS = ["Device", "Opened", "Last refreshed", "Expires", "Session", "Action"];
