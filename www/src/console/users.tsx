// A user and their devices.

import { useId, useRef, useState } from "preact/hooks";
import type { Accepted, Session } from "../shared/answers";
import { userProblem } from "./api";
import { Needs, may, type Access } from "./access";
import { Confirm } from "../shared/confirm";
import { Field } from "../shared/field";
import { ShownText } from "../shared/shown-text";
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
    // An answer about the user before must not appear under the name of this one.
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
    // The button that has the focus disappears with its row.
    place.current?.focus();
    onChange();
  };
  const [filter, setFilter] = useState("");
  const isDisabled = isBusy || !may(access, "sessions:write");
  const sessions = listed.answer.ok ? listed.answer.value.sessions : [];
  const found = sessions.filter((session) => isFound(session, filter, access.names));
  return (
    <div class="devices">
      <div class="heading">
        <h3 ref={place} tabIndex={-1}>
          {sessions.length} {sessions.length === 1 ? "device" : "devices"} of <ShownText text={sub} />
        </h3>
        <Confirm text="Log out everywhere" yes="Yes, log out everywhere" isDisabled={isDisabled}
          question="Every token that this user has now is revoked, listed here or not."
          onYes={() => end(null)} />
      </div>
      <Needs access={access} scope="sessions:write" to="log out" />
      <Outcome answer={answer} done={done} />
      {!listed.answer.ok && <ProblemNotice problem={listed.answer.problem} />}
      {listed.answer.ok && sessions.length === 0 && (
        <p class="quiet">No active sessions. Tokens from other logins may still be valid: logging out
          everywhere revokes them too.</p>
      )}
      {sessions.length > FEW && (
        <Field label="Filter these sessions" value={filter} placeholder="device, address, client …"
          onInput={setFilter} />
      )}
      {sessions.length > 0 && found.length === 0 && <p class="quiet">No session contains that.</p>}
      {found.length > 0 && (
        <Table caption="Active sessions, newest first" columns={COLUMNS}
          rows={found.map((session) => ({
            key: session.session_id, cells: cells(session, access.names, isDisabled, end),
          }))} />
      )}
    </div>
  );
}

/** Whether any text of the session contains `filter`. */
function isFound(session: Session, filter: string, names: ReadonlyMap<string, string>): boolean {
  const texts = [...Object.values(session), names.get(session.client_id)];
  return texts.some((one) => typeof one === "string" && one.toLowerCase().includes(filter.toLowerCase()));
}

function cells(
  session: Session,
  names: ReadonlyMap<string, string>,
  isDisabled: boolean,
  end: (id: string) => void,
) {
  const { session_id, device, user_agent, ip, client_id, scope, refreshes } = session;
  const name = device ?? "unnamed device";
  return [
    <>
      <ShownText text={name} />
      {user_agent && <div class="quiet small"><ShownText text={user_agent} /></div>}
      {ip && <div class="quiet small"><ShownText text={ip} /></div>}
      <div class="quiet small">client <ShownText text={names.get(client_id) ?? client_id} /></div>
      {scope && <div class="quiet small">scope <ShownText text={scope} /></div>}
    </>,
    <Moment at={session.opened_at} />,
    refreshes === 0 ? <span class="quiet">never</span>
      : <><Moment at={session.last_used_at} /> <span class="quiet">({refreshes}×)</span></>,
    <Moment at={session.expires_at} />,
    <code class="small"><ShownText text={session_id} /></code>,
    <Confirm text="Log out" label={`Log out ${name}`} yes="Yes, log out" isDisabled={isDisabled}
      question="The tokens of this device are revoked immediately." onYes={() => end(session_id)} />,
  ];
}

interface Listed {
  sub: string;
  answer: Answer<{ sessions: Session[] }>;
}

const COLUMNS = ["Device", "Opened", "Last refreshed", "Expires", "Session id", "Action"];
const FEW = 3;
