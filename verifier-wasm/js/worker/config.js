// The edge worker's settings, read from its environment. All problems are reported together, and never a
// value.

/** @typedef {Record<string, unknown>} Env */

/**
 * @typedef {object} Settings
 * @property {URL} upstream
 * @property {object} options the verifier's
 * @property {number} jitterSeconds over which refreshes are spread after a red button
 * @property {{ url: string, apiKey: string, authPath: string }} [handover]
 */

/** @param {Env} env @returns {Settings | { problems: string[] }} */
export function readEnv(env) {
  /** @type {string[]} */
  const problems = [];
  const text = (/** @type {string} */ name, /** @type {string} */ otherwise = "") => {
    const value = env[name] ?? otherwise;
    if (typeof value !== "string" || value === "") problems.push(`${name} is missing`);
    return String(value);
  };
  const url = (/** @type {string} */ name, /** @type {string} */ otherwise = "") => {
    const value = text(name, otherwise);
    if (value !== "" && !isUrl(value)) problems.push(`${name} must be an http(s) URL`);
    return isUrl(value) ? value : "http://missing.invalid";
  };
  const urls = (/** @type {string} */ name) => {
    const values = text(name).split(",").map((value) => value.trim());
    if (!values.every(isUrl)) problems.push(`${name} must be an http(s) URL, or several with commas`);
    return values;
  };
  const seconds = (/** @type {string} */ name, /** @type {number} */ otherwise) => {
    const value = env[name] === undefined || env[name] === "" ? otherwise : Number(env[name]);
    if (!Number.isFinite(value) || value < 0) problems.push(`${name} must be a number >= 0`);
    return value;
  };
  const onStale = env.OFFSWITCH_ON_STALE ?? "deny";
  if (onStale !== "deny" && onStale !== "allow") {
    problems.push("OFFSWITCH_ON_STALE must be deny or allow");
  }
  // One key goes to the first address's origin; several go to one address each.
  const feedKeys = String(env.OFFSWITCH_FEED_API_KEY ?? "").split(",").map((key) => key.trim());
  const feedUrls = urls("OFFSWITCH_FEED_URL");
  if (feedKeys.length > 1 && feedKeys.length !== feedUrls.length) {
    problems.push("OFFSWITCH_FEED_API_KEY must be one key, or as many with commas as OFFSWITCH_FEED_URL has addresses");
  }
  const withKey = (/** @type {string} */ address, /** @type {number} */ at) =>
    ({ url: address, apiKey: feedKeys[at] || undefined });
  const issuer = text("OFFSWITCH_ISSUER");
  // A request does not live long enough for more.
  const longPollSeconds = Math.min(seconds("OFFSWITCH_LONG_POLL_SECONDS", 0), 25);
  const options = {
    issuer,
    audience: text("OFFSWITCH_AUDIENCE").split(",").map((name) => name.trim()),
    keys: url("OFFSWITCH_JWKS_URL", `${issuer.replace(/\/$/, "")}/.well-known/jwks.json`),
    algorithms: ["EdDSA", "ES256"],
    requiredClaims: ["exp", "iat", "sub", "jti", "sid", "ver"],
    types: ["at+jwt"],
    dpop: {
      maxAgeSeconds: seconds("OFFSWITCH_DPOP_MAX_AGE_SECONDS", 60),
      publicUrl: env.OFFSWITCH_DPOP_PUBLIC_URL ? url("OFFSWITCH_DPOP_PUBLIC_URL") : undefined,
    },
    userRule: /** @type {const} */ ("version_else_issued_at"),
    feed: {
      url: feedKeys.length > 1 ? feedUrls.map(withKey) : feedUrls,
      apiKey: feedKeys.length > 1 ? undefined : feedKeys[0] || undefined,
      id: env.OFFSWITCH_FEED_ID || issuer,
      publicKeys: text("OFFSWITCH_FEED_PUBLIC_KEYS").split(",").map((key) => key.trim()),
      maxBytes: seconds("OFFSWITCH_FEED_MAX_BYTES", 0) || undefined,
      maxStaleness: seconds("OFFSWITCH_MAX_STALENESS_SECONDS", 60),
      onStale,
      pollSeconds: seconds("OFFSWITCH_POLL_SECONDS", 1),
      follow: longPollSeconds > 0 ? "long-poll" : "poll",
      longPollSeconds: longPollSeconds || undefined,
    },
  };
  const upstream = new URL(url("UPSTREAM"));
  const jitterSeconds = seconds("OFFSWITCH_REFRESH_JITTER_SECONDS", 10);
  if (!Number.isInteger(jitterSeconds)) {
    problems.push("OFFSWITCH_REFRESH_JITTER_SECONDS must be a whole number");
  }
  const hasHandover = env.OFFSWITCH_HANDOVER_URL !== undefined && env.OFFSWITCH_HANDOVER_URL !== "";
  const handover = hasHandover
    ? {
      url: url("OFFSWITCH_HANDOVER_URL").replace(/\/$/, ""),
      apiKey: text("OFFSWITCH_HANDOVER_API_KEY"),
      authPath: text("OFFSWITCH_AUTH_PATH", "/auth"),
    }
    : undefined;
  if (handover && !isPath(handover.authPath)) {
    problems.push("OFFSWITCH_AUTH_PATH must be a path like /auth");
  }
  return problems.length > 0 ? { problems } : { upstream, options, jitterSeconds, handover };
}

/** @param {string} value */
const isUrl = (value) => /^https?:\/\//.test(value) && URL.canParse(value);

/** A path that a URL does not change. @param {string} value */
function isPath(value) {
  return /^(\/[\w.~-]+)+$/.test(value) && new URL(value, "http://any").pathname === value;
}
