// The one cookie a browser holds: an opaque handle, which no script and no other site can use.

/**
 * The prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`: no sister domain and no
 * plain connection can plant a cookie of this name. That holds for exactly these bytes.
 */
const NAME = "__Host-offswitch";
/** Lax, so that a link from another site finds the user logged in; see same-origin.js for the rest. */
const ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Lax";

/**
 * True for what the control plane may hand out as a handle.
 *
 * @param {unknown} value @returns {value is string}
 */
export function isHandle(value) {
  return typeof value === "string" && /^osh_[A-Za-z0-9_-]{20,200}$/.test(value);
}

/**
 * The handle in a request's cookies, or the code that says why there is none.
 *
 * The name is compared byte by byte, after the one space that browsers put before it: a cookie whose
 * name only looks like ours may come from a sister domain, and neither counts nor takes the place of
 * ours. Two of exactly our name are refused: there is no telling which one is meant.
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
 * Takes our cookie out of a request's headers, with all that a lenient reader could take for it;
 * the others stay byte for byte.
 */
export function stripCookie(/** @type {Headers} */ headers) {
  const others = pairs(headers).filter((pair) => !LIKE_OURS.test(pair)).join(";").replace(/^ +/, "");
  if (others === "") headers.delete("cookie");
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
 * Our name in any spelling: with blanks and other characters around it, after a comma that joined two
 * fields, or as the value of a cookie without a name, which browsers send as if it were the name.
 */
const LIKE_OURS = new RegExp(`(^|,)[^A-Za-z0-9_,-]*${NAME}[^A-Za-z0-9_,-]*(=|$)`, "i");
