// The edge worker's settings, read from its environment. All problems are reported together, and never a
// value.

/** @typedef {Record<string, unknown>} Env */

/**
 * @typedef {object} Settings
 * @property {URL} upstream
 * @property {object} options the verifier's
 * @property {object[]} others of verifiers for further feeds
 * @property {number} jitterSeconds over which refreshes are spread after a red button
 * @property {{ url: string, apiKey: string, authPath: string }} [handover]
 */

/** @param {Env} env @returns {Settings | { problems: string[] }} */
export function readEnv(env) {
  /** @type {string[]} */
  const problems = [];
  const reader = new Reader(env, problems);
  const options = verifierOptions(reader);
  const others = [];
  for (let nth = 2; nth <= MAX_FEEDS && isSet(env[`OFFSWITCH_${nth}_ISSUER`]); nth += 1) {
    others.push(verifierOptions(new Reader(env, problems, nth)));
  }
  const upstream = new URL(reader.url("UPSTREAM"));
  const jitterSeconds = reader.seconds("OFFSWITCH_REFRESH_JITTER_SECONDS", 10);
  if (!Number.isInteger(jitterSeconds)) {
    problems.push("OFFSWITCH_REFRESH_JITTER_SECONDS must be a whole number");
  }
  const handover = isSet(env.OFFSWITCH_HANDOVER_URL)
    ? {
      url: reader.url("OFFSWITCH_HANDOVER_URL").replace(/\/$/, ""),
      apiKey: reader.text("OFFSWITCH_HANDOVER_API_KEY"),
      authPath: reader.text("OFFSWITCH_AUTH_PATH", "/auth"),
    }
    : undefined;
  if (handover && !isPath(handover.authPath)) {
    problems.push("OFFSWITCH_AUTH_PATH must be a path like /auth");
  }
  return problems.length > 0 ? { problems } : { upstream, options, others, jitterSeconds, handover };
}

/** The options of the verifier of one feed. @param {Reader} reader */
function verifierOptions(reader) {
  const onStale = reader.value("OFFSWITCH_ON_STALE") ?? "deny";
  if (onStale !== "deny" && onStale !== "allow") {
    reader.problems.push(`${reader.name("OFFSWITCH_ON_STALE")} must be deny or allow`);
  }
  const issuer = reader.text("OFFSWITCH_ISSUER");
  const hasPublicUrl = Boolean(reader.value("OFFSWITCH_DPOP_PUBLIC_URL"));
  return {
    issuer,
    audience: reader.list("OFFSWITCH_AUDIENCE"),
    keys: reader.url("OFFSWITCH_JWKS_URL", `${issuer.replace(/\/$/, "")}/.well-known/jwks.json`),
    algorithms: ["EdDSA", "ES256"],
    requiredClaims: ["exp", "iat", "sub", "jti", "sid", "ver"],
    types: ["at+jwt"],
    dpop: {
      maxAgeSeconds: reader.seconds("OFFSWITCH_DPOP_MAX_AGE_SECONDS", 60),
      publicUrl: hasPublicUrl ? reader.url("OFFSWITCH_DPOP_PUBLIC_URL") : undefined,
    },
    userRule: /** @type {const} */ ("version_else_issued_at"),
    feed: {
      ...(isSet(reader.value("OFFSWITCH_FEED_HEAD")) ? headIn(reader) : addressesIn(reader)),
      id: reader.value("OFFSWITCH_FEED_ID") || issuer,
      publicKeys: reader.list("OFFSWITCH_FEED_PUBLIC_KEYS"),
      maxBytes: reader.seconds("OFFSWITCH_FEED_MAX_BYTES", 0) || undefined,
      maxStaleness: reader.seconds("OFFSWITCH_MAX_STALENESS_SECONDS", 60),
      name: reader.value("OFFSWITCH_FEED_NAME") || undefined,
      onStale,
      pollSeconds: reader.seconds("OFFSWITCH_POLL_SECONDS", 1),
    },
  };
}

/** A head at an address, or in the KV namespace or R2 bucket that is bound by this name. @param {Reader} reader */
function headIn(reader) {
  const head = reader.value("OFFSWITCH_FEED_HEAD");
  if (typeof head === "string") {
    return { head: reader.url("OFFSWITCH_FEED_HEAD"), apiKey: keysIn(reader)[0] || undefined };
  }
  return { head: { binding: head, prefix: String(reader.value("OFFSWITCH_FEED_HEAD_PREFIX") ?? "") } };
}

/** @param {Reader} reader */
function addressesIn(reader) {
  // One key goes to the first address's origin; several go to one address each.
  const keys = keysIn(reader);
  const urls = reader.urls("OFFSWITCH_FEED_URL");
  if (keys.length > 1 && keys.length !== urls.length) {
    const [ofKeys, ofUrls] = ["OFFSWITCH_FEED_API_KEY", "OFFSWITCH_FEED_URL"].map((name) => reader.name(name));
    reader.problems.push(`${ofKeys} must be one key, or as many with commas as ${ofUrls} has addresses`);
  }
  // A request does not live long enough for more.
  const longPollSeconds = Math.min(reader.seconds("OFFSWITCH_LONG_POLL_SECONDS", 0), 25);
  const withKey = (/** @type {string} */ url, /** @type {number} */ at) => ({ url, apiKey: keys[at] || undefined });
  return {
    url: keys.length > 1 ? urls.map(withKey) : urls,
    apiKey: keys.length > 1 ? undefined : keys[0] || undefined,
    follow: longPollSeconds > 0 ? "long-poll" : "poll",
    longPollSeconds: longPollSeconds || undefined,
  };
}

/** @param {Reader} reader */
const keysIn = (reader) => String(reader.value("OFFSWITCH_FEED_API_KEY") ?? "").split(",").map((key) => key.trim());

/**
 * Reads the settings, and collects what is wrong. Those of the second and later feeds have the feed's number in
 * their names: OFFSWITCH_2_ISSUER. What is not of the feed itself is shared, if it has no number.
 */
class Reader {
  #env;
  #nth;

  /** @param {Env} env @param {string[]} problems @param {number} [nth] of the feeds */
  constructor(env, problems, nth = 1) {
    this.#env = env;
    this.#nth = nth;
    this.problems = problems;
  }

  /** @param {string} name */
  name(name) {
    return this.#nth === 1 ? name : name.replace("OFFSWITCH_", `OFFSWITCH_${this.#nth}_`);
  }

  /** @param {string} name */
  value(name) {
    const own = this.#env[this.name(name)];
    return isSet(own) || OF_ONE_FEED.includes(name) ? own : this.#env[name];
  }

  /** @param {string} name */
  text(name, otherwise = "") {
    const value = this.value(name) ?? otherwise;
    if (typeof value !== "string" || value === "") this.problems.push(`${this.name(name)} is missing`);
    return String(value);
  }

  /** @param {string} name */
  list(name) {
    return this.text(name).split(",").map((value) => value.trim());
  }

  /** @param {string} name */
  url(name, otherwise = "") {
    const value = this.text(name, otherwise);
    if (value !== "" && !isUrl(value)) this.problems.push(`${this.name(name)} must be an http(s) URL`);
    return isUrl(value) ? value : "http://missing.invalid";
  }

  /** @param {string} name */
  urls(name) {
    const values = this.list(name);
    if (!values.every(isUrl)) this.problems.push(`${this.name(name)} must be an http(s) URL, or several with commas`);
    return values;
  }

  /** @param {string} name @param {number} otherwise */
  seconds(name, otherwise) {
    const given = this.value(name);
    const value = isSet(given) ? Number(given) : otherwise;
    if (!Number.isFinite(value) || value < 0) this.problems.push(`${this.name(name)} must be a number >= 0`);
    return value;
  }
}

/** @param {unknown} value */
const isSet = (value) => value !== undefined && value !== "";
/** @param {string} value */
const isUrl = (value) => /^https?:\/\//.test(value) && URL.canParse(value);

/** A path that a URL does not change. @param {string} value */
function isPath(value) {
  return /^(\/[\w.~-]+)+$/.test(value) && new URL(value, "http://any").pathname === value;
}

/** What one feed has for itself. */
const OF_ONE_FEED = [
  "OFFSWITCH_ISSUER", "OFFSWITCH_JWKS_URL", "OFFSWITCH_FEED_URL", "OFFSWITCH_FEED_ID", "OFFSWITCH_FEED_PUBLIC_KEYS",
  "OFFSWITCH_FEED_API_KEY", "OFFSWITCH_FEED_HEAD", "OFFSWITCH_FEED_HEAD_PREFIX",
];
const MAX_FEEDS = 16;
