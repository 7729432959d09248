// The field for a token. Its segments are coloured in place, and flaws are marked where they are.

import type { Ref } from "preact";
import { useId, useMemo } from "preact/hooks";
import { bytes } from "../shared/format";
import { ShownText } from "../shared/shown-text";
import { allFlaws, type Decoded, type Segment } from "./decode";

interface Props {
  label: string;
  value: string;
  decoded: Decoded;
  onChange: (token: string) => void;
  fieldRef?: Ref<HTMLTextAreaElement>;
}

export function TokenField({ label, value, decoded, onChange, fieldRef }: Props) {
  const id = useId();
  const coloured = useMemo(() => <Coloured pasted={value} decoded={decoded} />, [value, decoded]);
  return (
    <>
      <label for={id}>{label}</label>
      <div class="token-area">
        {/* The same text in the same place as in the field, whose own text is transparent. */}
        <div class="token-colours" aria-hidden="true">{coloured}</div>
        <textarea
          id={id} ref={fieldRef} value={value} spellcheck={false} autocomplete="off" rows={1}
          autocapitalize="off" aria-describedby={`${id}-flaws`} class="token-input"
          placeholder="Paste a JWT, a token response (JSON), a curl command or an Authorization header"
          onInput={({ currentTarget }) => onChange(currentTarget.value)}
        />
      </div>
      {decoded.segments.length > 0 && <Legend segments={decoded.segments} />}
      <div id={`${id}-flaws`}><Flaws decoded={decoded} /></div>
    </>
  );
}

function Coloured({ pasted, decoded }: { pasted: string; decoded: Decoded }) {
  const { from, end } = decoded.place;
  return (
    <>
      <span class="around">{pasted.slice(0, from)}</span>
      {piecesOf(pasted.slice(from, end), decoded.segments).map(({ text, look }) =>
        <span class={look}>{text}</span>)}
      <span class="around">{pasted.slice(end)}</span>
      {/* A last line break gets its line only with something after it. */}
      {" "}
    </>
  );
}

interface Piece {
  text: string;
  look: string;
}

/** The text of a token by segments; white space in it belongs to the segment before. */
function piecesOf(text: string, segments: Segment[]): Piece[] {
  const pieces: Piece[] = [];
  const hasSpace = /\s/.test(text);
  let at = 0;
  const take = (length: number, look: string) => {
    const from = at;
    if (!hasSpace) at += length;
    for (let left = hasSpace ? length : 0; left > 0 && at < text.length; at += 1) {
      if (!/\s/.test(text.charAt(at))) left -= 1;
    }
    if (at > from) pieces.push({ text: text.slice(from, at), look });
  };
  for (const [index, segment] of segments.entries()) {
    if (index > 0) take(1, "dot");
    const look = lookOf(index);
    const places = placesOf(segment);
    // What is wrong as a whole is marked as a whole.
    const isWhole = segment.flaws.length > 0 && places.length === 0;
    let done = 0;
    for (const place of places) {
      take(place - done, look);
      take(widthAt(segment.text, place), `${look} broken`);
      done = place + widthAt(segment.text, place);
    }
    take(segment.text.length - done, isWhole ? `${look} broken` : look);
  }
  if (at < text.length) pieces.push({ text: text.slice(at), look: segments.length > 0 ? "surplus" : "" });
  return pieces;
}

function placesOf({ text, flaws }: Segment): number[] {
  const places = new Set(flaws.flatMap(({ at }) => at ?? []));
  return [...places].filter((at) => at < text.length).sort((one, other) => one - other);
}

/** A character outside the basic plane has two units. */
function widthAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

function Legend({ segments }: { segments: Segment[] }) {
  return (
    <ul class="legend row">
      {segments.map(({ name, sizeBytes, flaws }, at) => (
        <li class={lookOf(at)}>
          {flaws.length > 0 ? <mark class="broken">⚠ {name}</mark> : name}
          <span class="quiet"> {bytes(sizeBytes)}{flaws.length > 0 && `, flaws: ${flaws.length}`}</span>
        </li>
      ))}
    </ul>
  );
}

function Flaws({ decoded }: { decoded: Decoded }) {
  const flaws = allFlaws(decoded);
  return (
    <>
      {decoded.ignored.length > 0 && (
        <p class="quiet small">Ignored in the pasted text: {decoded.ignored.join(", ")}.</p>
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

function lookOf(index: number): string {
  return COLOURS[index] ?? "surplus";
}

const COLOURS = ["first", "second", "third", "fourth", "fifth"];
const MAX_FLAWS = 30;
