// JSON with exact integers. JavaScript's numbers silently alter integers beyond 2^53; here those are read as
// bigint.

/**
 * Reads JSON text that is known to be well-formed.
 *
 * @param {string} text @returns {any}
 */
export function parseExactly(text) {
  // Nearly every payload returns here: without sixteen digits in a row no integer is that large.
  if (!/[0-9]{16}/.test(text)) return JSON.parse(text);
  const mark = `${crypto.randomUUID()} `;
  const marked = text.replace(STRING_OR_NUMBER, (part) => (isAltered(part) ? `"${mark}${part}"` : part));
  return JSON.parse(marked, (_, value) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value);
}

/** True for an integer that a number would alter. @param {string} part */
function isAltered(part) {
  return /^-?[0-9]+$/.test(part) && !Number.isSafeInteger(Number(part));
}

/** Whole strings, so that digits in them stay unchanged. */
const STRING_OR_NUMBER = /"(?:[^"\\]+|\\.)*"|-?[0-9][0-9.eE+-]*/g;
