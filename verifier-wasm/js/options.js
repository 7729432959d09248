// Reads the options of createVerifier, and reports all problems together. The configuration of wasm is passed
// on unchanged, and checked there.

import { WasmVerifier } from "../pkg/offswitch.js";

/**
 * @typedef {object} Settings The options, with defaults.
 * @property {Uint8Array} config the VerifierConfig of the Rust crate, as JSON
 * @property {{ issuer: string, url?: string, headers?: Record<string, string>, jwks?: string }[]} keySources
 *   in the order of the issuers
 * @property {import("./feed/client.js").FeedSettings} feed
 * @property {string} [publicUrl] at which clients see the service
 * @property {number} rememberedTokens
 * @property {{ keeper: import("./stores/keeper.js").MakeKeeper }} [store]
 * @property {(event: import("./index.d.ts").VerifierEvent) => void} [onEvent]
 * @property {() => number} clock unix seconds
 *
 * @typedef {Record<string, any>} Fields
 *
 * @typedef {Record<string, [unknown, (value: any) => unknown, string]>} Rules The default of each field, what
 *   holds of its value, and that in words.
 */

/**
 * @param {unknown} options @param {number} [maxBytes] of a snapshot, where the options do not say
 * @returns {Settings}
 * @throws {TypeError} naming every problem
 */
export function readOptions(options, maxBytes = 256 * 1024 * 1024) {
  /** @type {string[]} */
  const problems = [];
  // The fields that are read here are removed; wasm knows the others or reports them as unknown.
  const { feed: given, wasm, ...top } = fields(options, "options", problems);
  const feed = { ...fields(given, "feed", problems) };
  const { clock, dpop: ofProofs, issuers: others, onEvent, rememberedTokens } = take(top, TOP, "", problems);
  const dpop = { ...fields(ofProofs, "dpop", problems) };
  const { publicUrl } = take(dpop, DPOP, "dpop.", problems);
  /** @type {Rules} */
  const rules = { ...FEED, maxBytes: [maxBytes, isPositive, "must be a number > 0"] };
  const [hasHead, hasFile] = [feed.head !== undefined, feed.snapshot !== undefined];
  rules.url = [hasHead || hasFile ? null : undefined, isAddresses, ADDRESSES];
  if (hasHead) rules.head = [undefined, isHead, `${ADDRESSES}, or have get(name)`];
  if (hasFile) Object.assign(rules, FILE);
  const { apiKey, head = [], snapshot = [], store, url = [], ...ways } = take(feed, rules, "feed.", problems);
  const isSaid = Object.values(top).some((value) => value !== undefined);
  const issuers = Array.isArray(others) ? [...others] : [];
  if (isSaid || issuers.length === 0) issuers.unshift(top);
  const keySources = issuers.map((one, at) => keySource(one, `issuers[${at}].keys`, problems));
  const config = new TextEncoder().encode(json({
    issuers: issuers.map((one) => (typeof one === "object" && one ? { ...one, keys: undefined } : one)),
    feed, dpop,
  }, "options", problems));
  problems.push(...WasmVerifier.problems(config).split("; "));
  refuse(problems.filter(Boolean));
  const urls = [url].flat();
  const followed = {
    ...addresses(urls, [head, snapshot].flat(), apiKey), ...ways, ...(urls.length === 0 && { follow: "poll" }),
    id: feed.id ?? issuers[0]?.issuer, maxStalenessSeconds: feed.maxStaleness ?? 60,
    onStale: feed.onStale,
  };
  return {
    clock, config, keySources, onEvent, publicUrl: publicUrl && String(publicUrl).replace(/\/$/, ""), rememberedTokens, store,
    feed: /** @type {import("./feed/client.js").FeedSettings} */ (/** @type {Fields} */ (followed)),
  };
}

/**
 * Reads the policy of a single verdict; other members are read elsewhere.
 *
 * @param {unknown} policy
 * @returns {{ dpop?: "proved" | import("./index.d.ts").DpopRequest, maxStaleness?: number, onStale?: "allow" | "deny" }}
 */
export function readPolicy(policy) {
  /** @type {string[]} */
  const problems = [];
  const { dpop, maxStaleness, onStale } = fields(policy, "the policy", problems);
  if (maxStaleness !== undefined && !(isSeconds(maxStaleness) && Number.isInteger(maxStaleness))) {
    problems.push(`maxStaleness must be whole seconds > 0 and <= ${MAX_SECONDS}, found ${shown(maxStaleness)}`);
  }
  if (onStale !== undefined && onStale !== "allow" && onStale !== "deny") {
    problems.push(`onStale must be "deny" or "allow", found ${shown(onStale)}`);
  }
  const isProved = dpop === undefined || dpop === "proved";
  const request = isProved ? dpop : requestOf(fields(dpop, "dpop", problems));
  refuse(problems);
  return { dpop: request, maxStaleness, onStale };
}

/**
 * A request with a proof. A value that is not a text counts as no proof: it comes from the client, and causes
 * no exception.
 *
 * @param {Fields} given
 */
function requestOf({ method, proof, url }) {
  const text = (/** @type {unknown} */ one) => (typeof one === "string" ? one : "");
  return { method: text(method), proof: text(proof), url: URL.canParse(url) ? new URL(url).href : "" };
}

/** @param {string} message */
export function invalid(message) {
  return Object.assign(new TypeError(message), { code: "invalid_options" });
}

/** @param {string[]} problems */
function refuse(problems) {
  if (problems.length > 0) throw invalid(problems.join("; "));
}

/** @param {any} given @param {string} path @param {string[]} problems */
function keySource(given, path, problems) {
  const { issuer, keys } = given ?? {};
  if (isUrl(keys)) return { issuer, url: String(keys) };
  if (typeof keys !== "object" || keys === null) {
    problems.push(`${path} must be a JWK set, the http(s) URL of one, or { url, headers }, found ${shown(keys)}`);
  } else if (keys.url !== undefined && keys.keys === undefined && keys.kty === undefined) {
    const { url, headers, ...others } = keys;
    if (!isUrl(url)) problems.push(`${path}.url must be an http(s) URL`);
    if (headers !== undefined && !isHeaders(headers)) {
      problems.push(`${path}.headers must be an object of header names with their values as strings`);
    }
    for (const name of Object.keys(others)) problems.push(`${path}.${name} is unknown`);
    return { issuer, url: String(url), headers: { ...headers } };
  }
  return { issuer, jwks: json(keys, path, problems) };
}

/** @param {unknown} value @param {string} path @param {string[]} problems */
function json(value, path, problems) {
  try {
    return JSON.stringify(value, faithful);
  } catch {
    problems.push(`${path} cannot be written as JSON`);
    return "{}";
  }
}

/**
 * Values that JSON would omit or convert become a value that no option may have.
 *
 * @this {any} @param {string} name
 */
function faithful(name) {
  const value = this[name];
  if (value === undefined && !Array.isArray(this)) return value;
  const kind = typeof value === "object" ? Object.prototype.toString.call(value) : typeof value;
  const isFaithful = /^(string|boolean|\[object (Array|Null|Object)])$/.test(kind) || Number.isFinite(value);
  return isFaithful ? value : {};
}

/** @param {any} value @param {string} path @param {string[]} problems @returns {Fields} */
function fields(value, path, problems) {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  problems.push(`${path} must be an object, found ${shown(value)}`);
  return {};
}

/**
 * Removes fields and returns them. A missing one gets its default: null for none, undefined if it is required.
 *
 * @param {Fields} given @param {Rules} rules @param {string} path @param {string[]} problems
 * @returns {Fields}
 */
function take(given, rules, path, problems) {
  /** @type {Fields} */
  const taken = {};
  for (const [name, [otherwise, holds, text]] of Object.entries(rules)) {
    const value = given[name];
    delete given[name];
    const isDefault = value === undefined && otherwise !== undefined;
    taken[name] = isDefault ? otherwise ?? undefined : value;
    const wrong = value === undefined ? `is missing: it ${text}` : `${text}, found ${shown(value)}`;
    if (!isDefault && !holds(value)) problems.push(`${path}${name} ${wrong}`);
  }
  return taken;
}

/** The kind of a value, without its content: an option may be a secret. @param {any} value @returns {string} */
function shown(value) {
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "string") return value === "" ? "an empty string" : `a string of ${value.length} characters`;
  return `${typeof value === "object" ? "an" : "a"} ${typeof value}`;
}

/** @param {any} value */
const isFunction = (value) => typeof value === "function";
/** @param {any} value */
const isPositive = (value) => Number.isFinite(value) && value > 0;
/** @param {any} value */
const isSeconds = (value) => isPositive(value) && value <= MAX_SECONDS;
/** @param {any} value */
const isCapacity = (value) => Number.isInteger(value) && value >= 0 && value <= 1_000_000;
/** @param {any} value */
const isUrl = (value) =>
  (typeof value === "string" || value instanceof URL) && PLAIN_URL.test(String(value)) && URL.canParse(value);
/** @param {any} value */
const isPublicUrl = (value) => isUrl(value) && !/[?#]/.test(String(value));
/** @param {any} value */
const isApiKey = (value) => typeof value === "string" && value !== "";
/** @param {any} value */
const isName = (value) => typeof value === "string" && /^[\w.:/@-]{1,64}$/.test(value);
/** An address, or one with the key that is sent there. @param {any} value */
const isAddress = (value) => {
  if (typeof value !== "object" || value === null || value instanceof URL) return isUrl(value);
  const { url, apiKey, ...rest } = value;
  return isUrl(url) && (apiKey === undefined || isApiKey(apiKey)) && Object.keys(rest).length === 0;
};
/** @param {any} value */
const isAddresses = (value) => {
  const all = [value].flat();
  return all.length > 0 && all.length <= 8 && all.every(isAddress);
};

/** Addresses, or what files are read from by name, with or without a prefix. @param {any} value */
const isHead = (value) => isFunction((value?.binding ?? value)?.get) || isAddresses(value);

/** @param {any} value */
const isHeaders = (value) => {
  try {
    return [...new Headers(value)].length === Object.values(value).filter((one) => typeof one === "string").length;
  } catch {
    return false; // a name or a value that no header can have
  }
};

/**
 * The addresses and heads of the feed, and the key of each. A common key goes only to the first address's origin:
 * others may run the other mirrors.
 *
 * @param {any[]} plain @param {any[]} heads @param {string | undefined} apiKey
 */
function addresses(plain, heads, apiKey) {
  const all = [...plain, ...heads].map((one) => (isUrl(one) ? { url: one, apiKey: undefined } : one ?? {}));
  const urls = all.map(({ url = "binding" }) => String(url));
  const origin = (/** @type {string} */ url) => (URL.canParse(url) ? new URL(url).origin : undefined);
  const own = (/** @type {string} */ url) => (origin(url) === origin(urls[0]) ? apiKey : undefined);
  const apiKeys = all.map((one, at) => one.apiKey ?? own(urls[at]));
  return { urls, apiKeys, heads: [...plain.map(() => undefined), ...heads] };
}

const MAX_SECONDS = 86_400;
/** An address with credentials would be visible in status and events. */
const PLAIN_URL = /^https?:\/\/[^/?#@]+([/?#]|$)/;
const FOLLOW = ["stream", "long-poll", "poll"];

/** @param {number} otherwise @returns {Rules[string]} */
const seconds = (otherwise, most = MAX_SECONDS) =>
  [otherwise, (value) => isPositive(value) && value <= most, `must be seconds > 0 and <= ${most}`];
/** @param {unknown} otherwise @returns {Rules[string]} */
const aFunction = (otherwise) => [otherwise, isFunction, "must be a function"];
const ADDRESSES = "must be 1 to 8 http(s) URLs, or objects { url, apiKey }";
/** @type {Rules} */
const FEED = {
  apiKey: [null, isApiKey, "must be a string with content"],
  follow: [FOLLOW[0], (value) => FOLLOW.includes(value), `must be one of ${FOLLOW}`],
  // The control plane holds no long poll for longer.
  longPollSeconds: seconds(20, 60),
  name: [null, isName, "must be 1 to 64 letters, digits or -_.:/@"],
  pollSeconds: seconds(1),
  store: [null, (value) => isFunction(value?.keeper), "must be a store"],
  timeoutSeconds: seconds(30),
};
/** A feed file is read again at times. @type {Rules} */
const FILE = {
  pollSeconds: seconds(60),
  snapshot: [null, (value) => isFunction(value) || value instanceof Uint8Array, "must be a Uint8Array, or a function that returns one"],
};
/** @type {Rules} */
const DPOP = {
  publicUrl: [null, isPublicUrl, "must be the http(s) URL under which clients see the service, without a query"],
};
/** @type {Rules} */
const TOP = {
  clock: aFunction(() => Date.now() / 1000),
  dpop: [{}, () => true, ""],
  issuers: [[], Array.isArray, "must be an array"],
  onEvent: aFunction(null),
  rememberedTokens: [10_000, isCapacity, "must be a whole number <= 1000000"],
};
