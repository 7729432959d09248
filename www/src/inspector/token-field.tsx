// Where the token is pasted, and the same token taken apart: segments by colour and name, what is
// broken marked and told.

import type { Ref } from "preact";
import type { Flaw } from "./base64url";
import { allFlaws, type Decoded, type Segment } from "./decode";
import { ShownText } from "../shared/shown-text";

interface Props {
  id: string;
  label: string;
  value: string;
  decoded: Decoded;
  onChange: (token: string) => void;
  fieldRef?: Ref<HTMLTextAreaElement>;
}

export function TokenField({ id, label, value, decoded, onChange, fieldRef }: Props) {
  return (
    <>
      <label for={id}>{label}</label>
      <textarea
        id={id} ref={fieldRef} rows={4} value={value} spellcheck={false} autocomplete="off"
        autocapitalize="off" aria-describedby={`${id}-flaws`} class="token-input"
        placeholder="Paste a JWT: with or without “Bearer”, quotes and line breaks"
        onInput={({ currentTarget }) => onChange(currentTarget.value)}
      />
      {decoded.segments.length > 0 && <Segments segments={decoded.segments} />}
      <div id={`${id}-flaws`}><Flaws decoded={decoded} /></div>
    </>
  );
}

/** For the eye: a screen reader has the token in the field, and what is wrong in the list. */
function Segments({ segments }: { segments: Segment[] }) {
  return (
    <div class="segments">
      <div class="token-shown mono" aria-hidden="true">
        {segments.map((segment, at) => (
          <>
            {at > 0 && <span class="dot">.</span>}
            <span class={`segment ${COLOURS[at] ?? "surplus"}`}><Marked {...segment} /></span>
          </>
        ))}
      </div>
      <ul class="legend row">
        {segments.map(({ name, sizeBytes, flaws }, at) => (
          <li class={COLOURS[at] ?? "surplus"}>
            {flaws.length > 0 && "⚠ "}{name}
            <span class="quiet"> {sizeBytes} B{flaws.length > 0 && `, ${flaws.length} wrong`}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

function Marked({ text, flaws }: { text: string; flaws: Flaw[] }) {
  const places = [...new Set(flaws.flatMap(({ at }) => at ?? []))].sort((a, b) => a - b);
  if (flaws.length === 0) return <>{text}</>;
  if (text === "") return <mark class="broken">⚠ empty</mark>;
  // What is wrong as a whole is marked as a whole.
  if (places.length === 0) return <mark class="broken"><ShownText text={text} /></mark>;
  const parts = places.map((at, index) => {
    const from = index === 0 ? 0 : (places[index - 1] ?? 0) + widthAt(text, places[index - 1] ?? 0);
    const end = at + widthAt(text, at);
    return (
      <>
        <ShownText text={text.slice(from, at)} />
        <mark class="broken"><ShownText text={text.slice(at, end)} /></mark>
      </>
    );
  });
  const last = places.at(-1) ?? 0;
  return <>{parts}<ShownText text={text.slice(last + widthAt(text, last))} /></>;
}

function Flaws({ decoded }: { decoded: Decoded }) {
  const flaws = allFlaws(decoded);
  return (
    <>
      {decoded.cleaned.length > 0 && (
        <p class="quiet small">Left out of what was pasted: {decoded.cleaned.join(", ")}.</p>
      )}
      {flaws.length > 0 && (
        <ul class="flaws notice bad">
          {flaws.slice(0, MAX_FLAWS).map(({ segment, reason }) => (
            <li>
              {segment !== undefined && <strong>{segment}: </strong>}<ShownText text={reason} />
            </li>
          ))}
          {flaws.length > MAX_FLAWS && <li>and {flaws.length - MAX_FLAWS} more</li>}
        </ul>
      )}
    </>
  );
}

/** A character outside the basic plane has two units. */
function widthAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

const COLOURS = ["first", "second", "third", "fourth", "fifth"];
const MAX_FLAWS = 30;
