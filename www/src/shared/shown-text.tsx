// Text from other people: it is shown as text, and its invisible characters as labels.

import type { ComponentChildren } from "preact";
import { INVISIBLE, codePointOf, nameOfInvisible } from "./invisible";

interface Props {
  /** What is not a string is shown as JSON. */
  text: unknown;
  /** Line breaks and tabs stay what they are: for text that the page formatted. */
  keepsLines?: boolean;
}

/** The text is isolated from the direction of the text around it. */
export function ShownText({ text: given, keepsLines = false }: Props) {
  const text = typeof given === "string" ? given : (JSON.stringify(given) ?? "");
  const shown: ComponentChildren[] = [];
  let [from, labels] = [0, 0];
  for (const { 0: character, index } of text.matchAll(INVISIBLE)) {
    if (keepsLines && (character === "\n" || character === "\t")) continue;
    shown.push(text.slice(from, index), <Label character={character} />);
    from = index + character.length;
    labels += 1;
    if (labels === MAX_LABELS) break;
  }
  const rest = text.slice(from);
  shown.push(labels === MAX_LABELS ? rest.replace(INVISIBLE, "\ufffd") : rest);
  return <bdi>{shown}</bdi>;
}

/** For a place that scrolls: the Tab key stops there, so that the arrow keys can scroll it. */
export function stopFor(label: string) {
  return { tabIndex: 0, role: "group", "aria-label": label } as const;
}

function Label({ character }: { character: string }) {
  return <span class="chip" title={nameOfInvisible(character)}>{codePointOf(character)}</span>;
}

const MAX_LABELS = 500;
