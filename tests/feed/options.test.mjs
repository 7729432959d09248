// Every option with every kind of wrong value.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { Verifier, createVerifier } from "offswitch";
import { keep } from "offswitch/stores";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { readEnv } from "../../verifier-wasm/js/worker/config.js";
import { optionsOf } from "../support/feed.mjs";
import { ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 1 }]);
const parts = { key, publicKey, url: "http://feed.test/feed" };
const store = keep({ read: async () => undefined, write: async () => {} });

/** Options with one field, given by its path. */
function withField(path, value) {
  const options = optionsOf(parts, { keys: { keys: [key.jwk] } });
  const [first, second] = path.split(".");
  if (second === undefined) options[first] = value;
  else options[first][second] = value;
  return options;
}

/** One of each kind of value; a field's allowed kinds are skipped by name. */
const KINDS = {
  null: null, true: true, false: false, zero: 0, number: 7, negative: -1, fraction: 1.5,
  NaN: NaN, Infinity: Infinity, bigint: 7n, "empty text": "", text: "text", symbol: Symbol("x"),
  array: [], "array of null": [null], "array of undefined": [undefined], "array of NaN": [NaN],
  "array of functions": [() => {}], "array of numbers": [1], "array of empty text": [""],
  object: {}, function: () => {}, date: new Date(0), URL: new URL("http://url.test/"),
  String: new String("text"), Map: new Map([["a", 1]]), bytes: new Uint8Array(3),
  speaking: { toJSON: () => "text" },
};

/** By path: the allowed kinds, and values of an allowed kind that are still wrong. */
const FIELDS = {
  issuer: [["text"], []],
  audience: [["text"], [["a", ""], ["a", 1], ["a", null], ["a", undefined], "", [[]], [["a"]]]],
  keys: [["URL"], [
    "ftp://x", "http://", "https://", "/jwks", "//x/jwks", " http://x", "http:x", { keys: 5 },
    { keys: [] }, { keys: [5] }, { keys: [{ kty: "OKP" }] }, { keys: { 0: key.jwk } },
    "http://user:word@a/jwks",
  ]],
  algorithms: [[], [
    ["none"], ["eddsa"], ["EdDSA", "none"], ["EdDSA", undefined], "EdDSA", ["HS1"],
  ]],
  requiredClaims: [[], [["sub"], ["exp", "admin"], ["exp", undefined], "exp", ["exp", null]]],
  // A type that is null accepts tokens without a type: no other value may have this meaning.
  types: [["array of null"], [
    ["a", undefined], ["a", 5], ["a", () => {}], ["a", NaN], ["a", Symbol("x")], "at+jwt", [[]],
  ]],
  leewaySeconds: [["zero", "number"], [301, 300.5, "30", Number.MAX_SAFE_INTEGER, 1e300, -0.5]],
  userRule: [[], ["none", "Issued_At", ["issued_at"]]],
  issuers: [["array"], [5, {}, "x", [5], [null], [[]], [{}], [{ issuer: "a" }]]],
  clock: [["function"], ["now", { now: () => 5 }]],
  onEvent: [["function"], [{ handleEvent() {} }]],
  rememberedTokens: [["zero", "number"], [1_000_001, 0.5, "10", Number.MAX_VALUE]],
  "feed.url": [["URL"], [
    "x", "ftp://x/", "http://", [["http://a/"]], Array(9).fill("http://a/"), ["http://a/", 5], {},
    ["http://a/", ""], ["http://a/", null], "http://user:word@a/feed", "javascript:alert(1)",
  ]],
  "feed.id": [["text"], []],
  "feed.publicKeys": [[], [
    "AAAA", ["AAAA"], [publicKey, "x"], [publicKey, undefined], [publicKey, null],
    [`${publicKey}=`],
    Array(9).fill(publicKey), ["A".repeat(43)], [publicKey.slice(1)], new Set([publicKey]),
  ]],
  "feed.maxStaleness": [["number"], [86_401, "60", 60.5, Number.MAX_SAFE_INTEGER, -60]],
  "feed.onStale": [[], ["maybe", "Allow", ["allow"], "deny "]],
  "feed.apiKey": [["text"], []],
  "feed.name": [["text"], ["two words", "a;relay", "n".repeat(65), "<b>", "é"]],
  "feed.follow": [[], ["Stream", "long_poll", ["poll"], "streams", "stream,long-poll,poll"]],
  "feed.pollSeconds": [["number", "fraction"], [86_401, "1", -0.1, 1e300]],
  "feed.longPollSeconds": [["number", "fraction"], [86_401, "1", -0.1, 1e300]],
  "feed.maxBytes": [["number", "fraction"], ["1", -0.1]],
  "feed.timeoutSeconds": [["number", "fraction"], [86_401, "1", -0.1, 1e300]],
  "feed.snapshot": [["bytes", "function"], ["./feed.tar", new ArrayBuffer(3), [new Uint8Array(3)]]],
  "feed.store": [[], [{ read() {}, write() {} }, { keeper: 5 }, "./folder"]],
  feed: [[], []],
};

for (const [path, [good, wrong]] of Object.entries(FIELDS)) {
  const kinds = Object.entries(KINDS).filter(([kind]) => !good.includes(kind));
  const name = path.replace("feed.", "");
  const fails = (value, what) => {
    const options = withField(path, value);
    let error;
    try {
      new Verifier(options);
    } catch (thrown) {
      error = thrown;
    }
    if (error === undefined) return `${what} is accepted`;
    if (!(error instanceof TypeError) || error.code !== "invalid_options") {
      return `${what} throws ${error.name}: ${error.message}`;
    }
    return error.message.includes(name) ? undefined : `${what} is not named: ${error.message}`;
  };

  // V10, X16: at creation, as a TypeError with a code that names the field; nothing is guessed.
  test(`${path} is refused if it is of another kind`, () => {
    const found = kinds.map(([kind, value]) => fails(value, kind)).filter(Boolean);
    assert.deepEqual(found, []);
  });

  if (wrong.length > 0) {
    test(`${path} is refused if it has a wrong value`, () => {
      const found = wrong.map((value, at) => fails(value, `number ${at}`)).filter(Boolean);
      assert.deepEqual(found, []);
    });
  }

  test(`${path} is accepted if it is right`, () => {
    for (const kind of good) new Verifier(withField(path, KINDS[kind])).close();
  });
}

test("a missing option gets its default, and undefined counts as missing", () => {
  const { issuer, audience, keys } = optionsOf(parts);
  const feed = { url: parts.url, publicKeys: [publicKey] };
  const nothing = (names) =>
    Object.fromEntries(names.map((name) => [name.replace("feed.", ""), undefined]));
  const names = Object.keys(FIELDS);
  const required = ["issuer", "audience", "keys", "feed", "feed.url", "feed.publicKeys"];
  const optional = names.filter((name) => !required.includes(name));
  const isFeeds = (name) => name.startsWith("feed.");
  const verifier = new Verifier({
    ...nothing(optional.filter((name) => !isFeeds(name))), issuer, audience, keys,
    feed: { ...nothing(optional.filter(isFeeds)), ...feed },
  });
  const settings = settingsOf(new Verifier({ issuer, audience, keys, feed }));
  assert.deepEqual(settingsOf(verifier), settings);
  const { follow, pollSeconds, longPollSeconds, timeoutSeconds, maxBytes } = settings;
  assert.deepEqual([follow, pollSeconds, longPollSeconds], ["stream", 1, 20]);
  assert.deepEqual([timeoutSeconds, maxBytes], [30, 2 ** 28]);
  for (const path of required) {
    const options = withField(path, undefined);
    assert.throws(() => new Verifier(options), { code: "invalid_options" }, path);
  }
});

test("unknown names are refused, at every place", () => {
  const options = optionsOf(parts);
  const other = { issuer: "b", audience: "b", keys: options.keys };
  const wrong = {
    audiance: { ...options, audiance: "api" },
    longPoll: { ...options, feed: { ...options.feed, longPoll: true } },
    store: { ...options, store },
    public_keys: { ...options, feed: { ...options.feed, public_keys: [publicKey] } },
    leeway: { ...options, issuers: [{ ...other, leeway: 5 }] },
  };
  for (const [name, value] of Object.entries(wrong)) {
    assert.throws(() => new Verifier(value), (error) => {
      assert.equal(error.code, "invalid_options");
      return error instanceof TypeError && error.message.includes(name);
    }, name);
  }
});

test("one error names all problems", () => {
  const options = optionsOf(parts, { leewaySeconds: -1, clock: 5, keys: 3, rememberedTokens: -1 });
  Object.assign(options.feed, { url: 5, maxStaleness: 0, follow: "x", publicKeys: [] });
  assert.throws(() => new Verifier(options), ({ message }) => {
    const names = ["leewaySeconds", "clock", "keys", "rememberedTokens", "url", "maxStaleness",
      "follow", "publicKeys"];
    return names.every((name) => message.includes(name) || assert.fail(`${name}: ${message}`));
  });
});

test("a value that is no object is refused, by createVerifier too", async () => {
  for (const options of [undefined, null, 5, "x", [], () => {}, true]) {
    assert.throws(() => new Verifier(options), { code: "invalid_options", name: "TypeError" });
    await assert.rejects(createVerifier(options), { code: "invalid_options", name: "TypeError" });
  }
});

// S15: the control plane holds a long poll for a minute at most, and refuses longer ones.
test("no long poll is longer than the control plane accepts", async () => {
  const asked = [];
  const { fetch } = globalThis;
  globalThis.fetch = async (url) => {
    asked.push(new URL(url).searchParams.get("wait"));
    return new Response(base, { headers: { "content-type": "application/octet-stream" } });
  };
  try {
    const verifier = new Verifier(withField("feed.longPollSeconds", 600));
    await verifier.refresh();
    await verifier.refresh({ waitSeconds: settingsOf(verifier).longPollSeconds });
    assert.ok(Number(asked[1]) <= 60, `${asked[1]} s`);
  } catch (error) {
    assert.equal(error.code, "invalid_options");
  } finally {
    globalThis.fetch = fetch;
  }
});

/** The settings under `feed`, with the defaults. */
function settingsOf(verifier) {
  return verifier[INTERNALS].feed.settings;
}

/** The environment that the worker needs. */
const ENV = {
  OFFSWITCH_ISSUER: ISSUER, OFFSWITCH_AUDIENCE: "api", OFFSWITCH_FEED_URL: parts.url,
  OFFSWITCH_FEED_PUBLIC_KEYS: publicKey, UPSTREAM: "http://up.test/",
};

// S15, X16: a long poll that is longer than a request may live is shortened.
test("the worker accepts any length of a long poll, and uses at most the allowed one", () => {
  for (const seconds of ["1", "20", "25", "26", "60", "90", "86400", "1000000"]) {
    const { options, problems } = readEnv({ ...ENV, OFFSWITCH_LONG_POLL_SECONDS: seconds });
    assert.equal(problems, undefined);
    const { follow, longPollSeconds } = settingsOf(new Verifier(options));
    assert.equal(follow, "long-poll");
    assert.ok(longPollSeconds <= Math.min(seconds, 60), `${longPollSeconds} s of ${seconds}`);
  }
  for (const seconds of ["-1", "x", "NaN", "Infinity"]) {
    const { problems } = readEnv({ ...ENV, OFFSWITCH_LONG_POLL_SECONDS: seconds });
    assert.match(String(problems), /OFFSWITCH_LONG_POLL_SECONDS/, seconds);
  }
  const { options } = readEnv(ENV);
  assert.equal(settingsOf(new Verifier(options)).follow, "poll");
});

/** The options that belong to one issuer, each with a right value. */
const OF_ISSUER = {
  audience: "api", keys: { keys: [key.jwk] }, algorithms: ["EdDSA"], requiredClaims: ["exp", "iat"],
  types: ["at+jwt"], leewaySeconds: 5, userRule: "issued_at",
};
const { feed: goodFeed } = optionsOf(parts);
const other = { issuer: "https://other.test", audience: "api", keys: { keys: [key.jwk] } };

for (const [name, value] of Object.entries(OF_ISSUER)) {
  // V10, X16: users would expect it to apply to `issuers`, but it would apply to no issuer.
  test(`${name} next to issuers is refused if it belongs to no issuer`, () => {
    const options = { issuers: [other], feed: goodFeed };
    new Verifier(options).close();
    new Verifier({ ...options, [name]: undefined }).close();
    assert.throws(() => new Verifier({ ...options, [name]: value }), (error) => {
      assert.equal(error.code, "invalid_options");
      return error instanceof TypeError && /issuers\[0\]\.issuer: is missing/.test(error.message);
    });
  });
}

// V10, V11: if it belongs to an issuer, it applies to that one and to no other.
test("an issuer next to issuers is judged by the options next to it", async () => {
  const rs256 = await signingKey("RS256");
  const keys = { keys: [key.jwk, rs256.jwk] };
  const own = { ...OF_ISSUER, issuer: ISSUER, keys, algorithms: ["RS256"] };
  const verifier = new Verifier({ ...own, issuers: [{ ...other, keys }], feed: goodFeed });
  verifier.apply(base);
  const code = async (signer, iss) => verifier.verifySync(await mint(signer, { iss })).code;
  assert.equal(await code(rs256, ISSUER), "valid");
  assert.equal(await code(key, ISSUER), "wrong_issuer");
  assert.equal(await code(key, other.issuer), "valid");
  const wrong = { leewaySeconds: "no", algorithms: ["none"], audience: "", types: [] };
  for (const [name, value] of Object.entries(wrong)) {
    const options = { ...own, [name]: value, issuers: [other], feed: goodFeed };
    assert.throws(() => new Verifier(options), ({ code, message }) =>
      code === "invalid_options" && message.includes(`issuers[0].${name}`), name);
  }
});

// X16: the message must name the place of the mistake.
test("a mistake in one issuer is not reported for another", () => {
  for (const malformed of [3, null, "x", true]) {
    for (const field of ["audience", "issuer"]) {
      const issuers = [malformed, { ...other, [field]: "" }];
      assert.throws(() => new Verifier({ issuers, feed: goodFeed }), ({ code, message }) => {
        assert.equal(code, "invalid_options");
        assert.match(message, /issuers\[0\]: must be an object/);
        assert.doesNotMatch(message, /issuers\[0\]\.(audience|issuer)/);
        return true;
      });
    }
  }
  const issuers = [other, { ...other, audience: "" }];
  assert.throws(() => new Verifier({ issuers, feed: goodFeed }), ({ message }) =>
    message.includes("issuers[1].audience") && !message.includes("issuers[0]"));
});

// X16: a cycle is an error of the options, not one of JSON.
test("options with a cycle are a TypeError with the code", async () => {
  const good = () => ({ ...OF_ISSUER, issuer: ISSUER, feed: { ...goodFeed } });
  const cycle = {
    audience: (options) => { options.audience = [options]; },
    keys: (options) => { options.keys = { keys: [options] }; },
    "a JWK": (options) => { options.keys = { keys: [{ ...key.jwk, self: options }] }; },
    issuers: (options) => { options.issuers = [options]; },
    "feed.id": (options) => { options.feed.id = options; },
    feed: (options) => { options.feed.publicKeys = [options.feed]; },
  };
  for (const [what, close] of Object.entries(cycle)) {
    const options = good();
    close(options);
    const expected = { name: "TypeError", code: "invalid_options" };
    assert.throws(() => new Verifier(options), expected, what);
    await assert.rejects(createVerifier(options), expected, what);
  }
});

// X16: the policy of a single verdict is checked as strictly.
test("a wrong policy is a TypeError that names the field", async () => {
  const verifier = new Verifier(optionsOf(parts));
  const token = await mint(key, { iss: ISSUER });
  const wrong = {
    maxStaleness: [0, -1, 1.5, NaN, Infinity, "60", null, 86_401, 2 ** 32, 4_294_967_295, {}, 60n],
    onStale: ["maybe", null, true, "", ["allow"], new String("allow")],
    policy: [null, 5, "allow", true, []],
  };
  for (const [name, values] of Object.entries(wrong)) {
    for (const value of values) {
      const policy = name === "policy" ? value : { [name]: value };
      const expected = ({ code, message, name: kind }) =>
        kind === "TypeError" && code === "invalid_options" && message.includes(name);
      assert.throws(() => verifier.verifySync(token, policy), expected, `${name} ${String(value)}`);
      await assert.rejects(verifier.verify(token, policy), expected, `${name} ${String(value)}`);
    }
  }
});

// The log output of a verifier contains no secret.
test("the log output of a verifier contains no API key", () => {
  const verifier = new Verifier(optionsOf(parts, {}, { apiKey: "secret-of-the-feed" }));
  const shown = inspect(verifier, { depth: 9, showHidden: true }) + JSON.stringify(verifier);
  assert.doesNotMatch(shown, /secret-of-the-feed/);
});
