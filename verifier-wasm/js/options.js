// Reads the options of createVerifier: every problem at once, nothing guessed.

/**
 * @typedef {object} Settings What the options come to.
 * @property {string} config the VerifierConfig of the Rust crate, as JSON
 * @property {{ issuer: string, url?: string, jwks?: string }[]} keySources
 * @property {import("./feed.js").FeedSettings & { pollSeconds: number, longPollSeconds: number }} feed
 * @property {() => number} clock unix seconds
 */

/**
 * @param {unknown} options
 * @returns {Settings}
 * @throws {TypeError} naming every problem
 */
export function readOptions(options) {
  /** @type {string[]} */
  const problems = [];
  const top = fields(options, "options", OPTION_NAMES, problems);
  const feed = fields(top.feed, "feed", FEED_NAMES, problems);
  const issuers = [];
  if (top.issuers === undefined || top.issuer !== undefined) issuers.push(issuerOf(top, "", problems));
  if (top.issuers !== undefined) {
    if (!Array.isArray(top.issuers)) problems.push("issuers must be an array");
    else {
      top.issuers.forEach((one, index) => {
        const path = `issuers[${index}]`;
        issuers.push(issuerOf(fields(one, path, ISSUER_NAMES, problems), `${path}.`, problems));
      });
    }
  }
  const check = checker("feed.", feed, problems);
  const url = check("url", isUrl, "must be an http(s) URL", undefined);
  const number = "must be a finite number";
  const settings = {
    url: String(url),
    apiKey: check("apiKey", isText, "must be a non-empty string", null) ?? undefined,
    maxBytes: check("maxBytes", isPositive, `${number} > 0`, 256 * 1024 * 1024),
    timeoutSeconds: check("timeoutSeconds", isPositive, `${number} > 0`, 30),
    pollSeconds: check("pollSeconds", isPositive, `${number} > 0`, 1),
    longPollSeconds: check("longPoll", isSeconds, `${number} of seconds >= 0`, 0),
  };
  const feedConfig = {
    id: check("id", isText, "must be a non-empty string", issuers[0]?.config.issuer),
    public_keys: check("publicKeys", isTexts, "must be an array of strings", undefined),
    max_staleness_seconds: check("maxStaleness", isWhole, "must be a whole number of seconds", 60),
    on_stale: check("onStale", isText, 'must be "deny" or "allow"', "deny"),
  };
  for (const { config } of issuers) {
    config.user_rule ??= config.issuer === feedConfig.id ? "version_else_issued_at" : "issued_at";
  }
  const clock = top.clock ?? (() => Date.now() / 1000);
  if (typeof clock !== "function") problems.push("clock must be a function");
  if (problems.length > 0) throw new TypeError(problems.join("; "));
  return {
    config: JSON.stringify({ issuers: issuers.map(({ config }) => config), feed: feedConfig }),
    keySources: issuers.map(({ source }) => source),
    feed: settings,
    clock: /** @type {() => number} */ (clock),
  };
}

/** @param {Fields} given @param {string} path @param {string[]} problems */
function issuerOf(given, path, problems) {
  const check = checker(path, given, problems);
  const audience = check("audience", (value) => isText(value) || isTexts(value),
    'must be an audience, an array of them, or "unchecked"', undefined);
  const issuer = check("issuer", isText, "must be a non-empty string", undefined);
  const keys = check("keys", isKeys, "must be a JWK set or the http(s) URL of one", undefined);
  const isOne = typeof audience === "string" && audience !== "unchecked";
  return {
    config: {
      issuer,
      audience: isOne ? [audience] : audience,
      algorithms: check("algorithms", isTexts, ARRAY, ["EdDSA", "ES256"]),
      required_claims: check("requiredClaims", isTexts, ARRAY, ["exp", "iat", "sub", "jti"]),
      types: check("types", isTypes, "must be an array of strings and null", ["at+jwt"]),
      leeway_seconds: check("leewaySeconds", isWhole, "must be a whole number of seconds", 30),
      // Only the feed's own control plane counts `ver` as the feed does.
      user_rule: check("userRule", isText, "must be a string", null),
    },
    source: typeof keys === "string" ? { issuer, url: keys } : { issuer, jwks: JSON.stringify(keys) },
  };
}

/** @typedef {Record<string, unknown>} Fields */

/** @param {unknown} value @param {string} path @param {string[]} names @param {string[]} problems */
function fields(value, path, names, problems) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    problems.push(`${path} must be an object`);
    return {};
  }
  for (const name of Object.keys(value)) {
    if (!names.includes(name)) problems.push(`${path}.${name} is unknown`);
  }
  return /** @type {Fields} */ (value);
}

/**
 * Takes one field or its default; an undefined default makes the field required.
 *
 * @param {string} path @param {Fields} given @param {string[]} problems
 * @returns {(name: string, holds: (value: unknown) => boolean, text: string, otherwise: any) => any}
 */
function checker(path, given, problems) {
  return (name, holds, text, otherwise) => {
    const value = given[name];
    if (value === undefined && otherwise !== undefined) return otherwise;
    if (value === undefined) problems.push(`${path}${name} is missing`);
    else if (!holds(value)) problems.push(`${path}${name} ${text}`);
    return value;
  };
}

/** @param {unknown} value */
const isText = (value) => typeof value === "string" && value !== "";
/** @param {unknown} value */
const isTexts = (value) => Array.isArray(value) && value.every(isText);
/** @param {unknown} value */
const isTypes = (value) => Array.isArray(value) && value.every((one) => one === null || isText(one));
/** @param {unknown} value */
const isSeconds = (value) => typeof value === "number" && Number.isFinite(value) && value >= 0;
/** @param {unknown} value */
const isPositive = (value) => isSeconds(value) && value !== 0;
/** @param {unknown} value */
const isWhole = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
/** @param {unknown} value */
const isUrl = (value) => {
  if (value instanceof URL) value = value.href;
  return typeof value === "string" && /^https?:\/\//.test(value) && URL.canParse(value);
};
/** @param {unknown} value */
const isKeys = (value) =>
  typeof value === "string" ? isUrl(value) : typeof value === "object" && value !== null;

const ARRAY = "must be an array of strings";
const ISSUER_NAMES = ["algorithms", "audience", "issuer", "keys", "leewaySeconds",
  "requiredClaims", "types", "userRule"];
const OPTION_NAMES = [...ISSUER_NAMES, "clock", "feed", "issuers", "wasm"];
const FEED_NAMES = ["apiKey", "id", "longPoll", "maxBytes", "maxStaleness", "onStale",
  "pollSeconds", "publicKeys", "timeoutSeconds", "url"];
