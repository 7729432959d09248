// Text that somebody else chose: shown as it is, and never able to pass for anything else.

/** Isolated from the direction of what surrounds it; what cannot be seen is written out. */
export function Foreign({ text }: { text: unknown }) {
  const shown = typeof text === "string" ? text : JSON.stringify(text);
  return <bdi class="foreign">{visible(shown)}</bdi>;
}

/** Writes out controls, marks of direction and whatever has no width. */
export function visible(text: string | undefined): string {
  return (text ?? "").replace(UNSEEN, (char) => {
    return `\\u{${(char.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`;
  });
}

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu;
