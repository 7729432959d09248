// The one cookie a browser holds: an opaque handle, which no script and no other site can use.

/**
 * The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`: no sister domain and no
 * plain connection can plant a cookie of this name.
 */
const NAME = "__Host-offswitch";
const ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict";

/**
 * True for what the control plane may hand out as a handle.
 *
 * @param {unknown} value @returns {value is string}
 */
export function isHandle(value) {
  return typeof value === "string" && /^osh_[A-Za-z0-9_-]{20,200}$/.test(value);
}

/**
 * The handle in a request's cookies. Several cookies of the name, or one of another shape, count
 * as none: it is not for this worker to guess which one is meant.
 *
 * @param {Headers} headers
 */
export function readHandle(headers) {
  const ours = pairs(headers).filter(isOurs);
  if (ours.length !== 1 || JOINED.test(withoutOurs(headers))) return undefined;
  const value = ours[0].slice(ours[0].indexOf("=") + 1).trim();
  return isHandle(value) ? value : undefined;
}

/** Takes our cookie out of a request's headers; the others stay byte for byte. */
export function stripCookie(/** @type {Headers} */ headers) {
  const others = withoutOurs(headers);
  if (others === "" || JOINED.test(others)) headers.delete("cookie");
  else headers.set("cookie", others);
}

/**
 * Takes out what an upstream has no business with: setting our cookie, and telling the token to
 * the browser.
 *
 * @param {Headers} headers of the upstream's response
 * @param {string} [token] the access token that a cookie was traded for
 */
export function stripAnswer(headers, token) {
  const cookies = headers.getSetCookie();
  if (cookies.some(isOurs)) {
    headers.delete("set-cookie");
    for (const one of cookies) if (!isOurs(one)) headers.append("set-cookie", one);
  }
  if (token === undefined) return;
  headers.delete("authorization");
  for (const [name, value] of [...headers]) if (value.includes(token)) headers.delete(name);
}

/** A `Set-Cookie` value. @param {string} handle @param {number} maxAgeSeconds */
export function cookieWith(handle, maxAgeSeconds) {
  return `${NAME}=${handle}; ${ATTRIBUTES}; Max-Age=${maxAgeSeconds}`;
}

/** A `Set-Cookie` value that makes the browser forget the cookie. */
export const CLEARED_COOKIE = `${NAME}=; ${ATTRIBUTES}; Max-Age=0`;

/** @param {Headers} headers */
function pairs(headers) {
  return (headers.get("cookie") ?? "").split(";");
}

/** @param {Headers} headers */
function withoutOurs(headers) {
  return pairs(headers).filter((pair) => !isOurs(pair)).join(";").replace(/^ +/, "");
}

/** @param {string} pair `name=value`, and for a Set-Cookie what follows it */
function isOurs(pair) {
  return pair.split(/[=;]/, 1)[0].trim() === NAME;
}

/** Two Cookie fields were joined with a comma, and ours is in the later one: what is whose cannot
 * be told any more. */
const JOINED = new RegExp(`,\\s*${NAME}\\s*=`);
