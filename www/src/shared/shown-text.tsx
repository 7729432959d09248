// Text of strangers: shown as text, and what is invisible or turns the direction of what follows is
// made visible.

import type { ComponentChildren } from "preact";

interface Props {
  text: string;
  /** Line breaks and tabs stay what they are: for text formatted here. */
  keepsLines?: boolean;
}

export function ShownText({ text, keepsLines = false }: Props) {
  const shown: ComponentChildren[] = [];
  let [from, chips] = [0, 0];
  for (const { 0: run, index } of text.matchAll(INVISIBLE)) {
    if (keepsLines && (run === "\n" || run === "\t")) continue;
    shown.push(text.slice(from, index), <Chip character={run} />);
    from = index + run.length;
    chips += 1;
    if (chips === MAX_CHIPS) break;
  }
  const rest = text.slice(from);
  shown.push(chips === MAX_CHIPS ? rest.replace(INVISIBLE, "\ufffd") : rest);
  return <bdi>{shown}</bdi>;
}

/** For what may be scrolled: the Tab key stops there, so that the arrow keys reach it. */
export function stopFor(label: string) {
  return { tabIndex: 0, role: "group", "aria-label": label } as const;
}

function Chip({ character }: { character: string }) {
  const point = character.codePointAt(0) ?? 0;
  const code = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
  return <span class="chip" title={NAMES[point] ?? "invisible character"}>{code}</span>;
}

/** Controls, formats, separators, private use, lone surrogates, and letters that show nothing. */
const CLASSES = String.raw`\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}`;
const LETTERS = String.raw`\u00a0\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0`;
const INVISIBLE = new RegExp(`[${CLASSES}${LETTERS}]`, "gu");
const NAMES: Record<number, string> = {
  0x00: "null",
  0x09: "tab",
  0x0a: "line feed",
  0x0d: "carriage return",
  0x1b: "escape",
  0xa0: "no-break space",
  0xad: "soft hyphen",
  0x200b: "zero width space",
  0x200c: "zero width non-joiner",
  0x200d: "zero width joiner",
  0x200e: "left-to-right mark",
  0x200f: "right-to-left mark",
  0x202a: "left-to-right embedding",
  0x202b: "right-to-left embedding",
  0x202c: "pop directional formatting",
  0x202d: "left-to-right override",
  0x202e: "right-to-left override",
  0x2066: "left-to-right isolate",
  0x2067: "right-to-left isolate",
  0x2068: "first strong isolate",
  0x2069: "pop directional isolate",
  0xfeff: "byte order mark",
};
const MAX_CHIPS = 500;
