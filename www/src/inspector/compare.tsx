// Two tokens side by side, such as before and after a refresh.

import { useMemo, useState } from "preact/hooks";
import { count } from "../shared/format";
import { decode, type Decoded } from "./decode";
import { differencesOf, type Difference } from "./diff";
import { ShownText, stopFor } from "../shared/shown-text";
import { TokenField } from "./token-field";

interface Props {
  first: Decoded;
  other: string;
  onChange: (token: string) => void;
}

export function Compare({ first, other, onChange }: Props) {
  const second = useMemo(() => decode(other), [other]);
  const isReady = first.form !== "empty" && second.form !== "empty";
  return (
    <details class="card">
      <summary><h2>Compare with another token</h2></summary>
      <p class="quiet small">
        For example the next one after a refresh. Both are only decoded here: neither is verified.
      </p>
      <TokenField
        label="The other token" value={other} decoded={second} onChange={onChange}
      />
      {isReady && <Differences first={first} second={second} />}
    </details>
  );
}

function Differences({ first, second }: { first: Decoded; second: Decoded }) {
  const [showsSame, setShowsSame] = useState(false);
  const { header, claims } = useMemo(() => ({
    header: differencesOf(first.header, second.header),
    claims: differencesOf(first.claims, second.claims),
  }), [first, second]);
  const apart = [...header, ...claims].filter(({ state }) => state !== "same").length;
  const summary = apart === 0 ? "Header and claims are the same."
    : `${apart} ${apart === 1 ? "difference" : "differences"}.`;
  return (
    <>
      <p role="status"><strong>{summary}</strong></p>
      <label class="check">
        <input
          type="checkbox" checked={showsSame}
          onChange={({ currentTarget }) => setShowsSame(currentTarget.checked)}
        /> Also show what is the same
      </label>
      <DiffTable title="Header" rows={header} showsSame={showsSame} />
      <DiffTable title="Claims" rows={claims} showsSame={showsSame} />
    </>
  );
}

interface TableProps {
  title: string;
  rows: Difference[];
  showsSame: boolean;
}

function DiffTable({ title, rows, showsSame }: TableProps) {
  const [limit, setLimit] = useState(ROWS);
  const shown = rows.filter(({ state }) => showsSame || state !== "same");
  return (
    <>
      <h3>{title}</h3>
      {shown.length === 0 ? <p class="quiet">No difference.</p> : (
        <div class="scroll" {...stopFor(title)}>
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th><th scope="col">What</th>
                <th scope="col">This token</th><th scope="col">The other</th>
              </tr>
            </thead>
            <tbody>
              {shown.slice(0, limit).map(({ name, state, before, after }) => (
                <tr key={name}>
                  <th scope="row"><code><ShownText text={name} /></code></th>
                  <td><span class={`pill ${TONES[state]}`}>{state}</span></td>
                  <td><Side text={before} /></td>
                  <td><Side text={after} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {shown.length > limit && (
        <button type="button" onClick={() => setLimit(limit + 10 * ROWS)}>
          Show more of {count(shown.length)}
        </button>
      )}
    </>
  );
}

function Side({ text }: { text?: string }) {
  if (text === undefined) return <span class="quiet">–</span>;
  const isLong = text.length > MAX_SHORT;
  return (
    <pre class="side" {...(isLong && stopFor("Value"))}><ShownText text={text} keepsLines /></pre>
  );
}

const TONES = { added: "good", changed: "unknown", removed: "bad", same: "quiet" };
const MAX_SHORT = 40;
const ROWS = 100;
