// JSON with exact integers. JavaScript's numbers silently alter integers beyond 2^53; here those are read as
// bigint.

/**
 * Reads JSON text that is known to be well-formed, and freezes what is in it.
 *
 * @param {string} text @returns {any}
 */
export function parseExactly(text) {
  let value = JSON.parse(text);
  if (!freeze(value)) freeze((value = parseLarge(text)));
  return value;
}

/** Freezes a value; false if a number in it may be an integer that was altered. @param {any} value @returns {boolean} */
function freeze(value) {
  let isExact = true;
  for (const name in value) {
    const member = value[name];
    if (typeof member === "number") isExact &&= Math.abs(member) < 2 ** 53;
    else if (member && typeof member === "object") isExact = freeze(member) && isExact;
  }
  Object.freeze(value);
  return isExact;
}

/** @param {string} text @returns {any} */
function parseLarge(text) {
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
