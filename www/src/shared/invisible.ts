// The characters that cannot be seen, or that turn the direction of the text after them. This is the
// only list of them in the page.

/** Controls, formats, separators, private use, lone surrogates, and letters that show nothing. */
const CLASSES = String.raw`\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}`;
const LETTERS = String.raw`\u00a0\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0`;
export const INVISIBLE = new RegExp(`[${CLASSES}${LETTERS}]`, "gu");

/** Such as `U+202E`. */
export function codePointOf(character: string): string {
  const point = character.codePointAt(0) ?? 0;
  return `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
}

export function nameOfInvisible(character: string): string {
  return NAMES[character.codePointAt(0) ?? 0] ?? "invisible character";
}

/** The text with its invisible characters written as code points, where only text is possible. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (character) => `⟨${codePointOf(character)}⟩`);
}

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
