// The claims that a revocation names, under the rules of the control plane.

/** @typedef {import("./testing.d.ts").ClaimValue} ClaimValue */

/**
 * The claims with the canonical spelling of their paths.
 *
 * @param {Record<string, ClaimValue>} claims @returns {Record<string, ClaimValue>}
 * @throws {TypeError} if no verifier would look them up
 */
export function checkedClaims(claims) {
  const checked = Object.entries(claims).map(([path, value]) => {
    const name = canonical(path);
    if (TIMES.includes(name)) throw new TypeError(`tokens are not revoked by ${name}; give issuedBefore instead`);
    if (!isValue(value)) {
      throw new TypeError(`${name} must be a string of 1 to 256 bytes, a whole number of 64 bits or a boolean`);
    }
    return [name, value];
  });
  const names = new Set(checked.map(([name]) => name));
  if (names.size < checked.length) throw new TypeError("a claim is named twice");
  if (names.size < 1 || names.size > MAX_PATHS) throw new TypeError(`claims names 1 to ${MAX_PATHS} claims, found ${names.size}`);
  return Object.fromEntries(checked);
}

/** @param {string} path */
function canonical(path) {
  const parts = path.startsWith("/") ? path.slice(1).split("/") : [];
  const isGood = isWithin(path, MAX_PATH_BYTES) && path !== "/" && parts.length <= MAX_STEPS
    && parts.every((part) => !/~(?![01])/.test(part));
  if (!isGood) {
    throw new TypeError(`${JSON.stringify(path)} is not a claim path: 1 to 128 bytes, and a JSON Pointer of at most 8 names if it begins with /`);
  }
  // A pointer to a top-level claim becomes its name, unless the name needs a pointer.
  const name = parts.length === 1 ? parts[0].replaceAll("~1", "/").replaceAll("~0", "~") : path;
  return name.startsWith("/") ? path : name;
}

/** @param {unknown} value */
function isValue(value) {
  if (typeof value === "string") return isWithin(value, MAX_VALUE_BYTES);
  if (typeof value === "bigint") return value >= -(2n ** 63n) && value < 2n ** 64n;
  return typeof value === "boolean" || Number.isSafeInteger(value);
}

/** @param {string} text @param {number} most */
const isWithin = (text, most) => text !== "" && new TextEncoder().encode(text).length <= most;

const TIMES = ["exp", "iat", "nbf"];
const MAX_PATHS = 4;
const MAX_PATH_BYTES = 128;
const MAX_STEPS = 8;
const MAX_VALUE_BYTES = 256;
