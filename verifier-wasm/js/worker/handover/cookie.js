// The one cookie a browser holds: an opaque handle, which no script and no other site can use.

/**
 * The prefix makes browsers require `Secure`, `Path=/` and no `Domain`: no sister domain and no plain
 * connection can set a cookie of this name. That holds for exactly these bytes.
 */
const NAME = "__Host-offswitch";
/** Lax, so that a link from another site finds the user logged in; see same-origin.js for the rest. */
const ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax";

/**
 * True for a value that the control plane may issue as a handle.
 *
 * @param {unknown} value @returns {value is string}
 */
export function isHandle(value) {
  return typeof value === "string" && /^osh_[A-Za-z0-9_-]{20,200}$/.test(value);
}

/**
 * The handle in a request's cookies, or the code of the reason why it has no usable one.
 *
 * The name is compared byte by byte, after the one space that browsers put before it: a cookie whose name only
 * looks like ours may come from a sister domain, and neither counts nor replaces ours. Two of exactly our name
 * are refused: it is unknown which one is meant.
 *
 * @param {Headers} headers
 * @returns {{ handle: string } | { code: "ambiguous_cookie" | "invalid_cookie" | "missing_token" }}
 */
export function readHandle(headers) {
  const ours = pairs(headers)
    .map((pair) => pair.replace(/^ /, ""))
    .filter((pair) => pair.startsWith(`${NAME}=`));
  if (ours.length === 0) return { code: "missing_token" };
  if (ours.length > 1) return { code: "ambiguous_cookie" };
  const handle = ours[0].slice(NAME.length + 1);
  return isHandle(handle) ? { handle } : { code: "invalid_cookie" };
}

/**
 * Removes our cookie from a request's headers, with everything that a lenient reader could read as it; the
 * others stay byte for byte.
 */
export function stripCookie(/** @type {Headers} */ headers) {
  const others = pairs(headers).filter((pair) => !LIKE_OURS.test(pair)).join(";").replace(/^ +/, "");
  if (others === "") headers.delete("cookie");
  else headers.set("cookie", others);
}

/**
 * Removes what an upstream must not send: a cookie with our name, and the token to the browser.
 *
 * @param {Headers} headers of the upstream's response
 * @param {string} [token] the access token that a cookie was exchanged for
 */
export function stripAnswer(headers, token) {
  const cookies = headers.getSetCookie();
  if (cookies.some(isLikeOurs)) {
    headers.delete("set-cookie");
    for (const one of cookies) if (!isLikeOurs(one)) headers.append("set-cookie", one);
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

/** @param {string} cookie a Set-Cookie value */
function isLikeOurs(cookie) {
  return LIKE_OURS.test(cookie.split(";", 1)[0]);
}

/**
 * Our name in any spelling: with blanks and other characters around it, after a comma that joined two fields,
 * or as the value of a cookie without a name, which browsers send as if it were the name.
 */
const LIKE_OURS = new RegExp(`(^|,)[^A-Za-z0-9_,-]*${NAME}[^A-Za-z0-9_,-]*(=|$)`, "i");
