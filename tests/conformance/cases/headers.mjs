// Members of the header: a member that brings a key or an extension is refused, and a kid is only a name.

import { either, refused, valid } from "./expected.mjs";
import { base64url, claimsText, compact, headerText, rename, signed, token } from "./keys.mjs";

export function headerCases(verifiers, keys) {
  return [
    ...["EdDSA", "ES256", "RS256", "HS256"].flatMap((alg) => members(keys[alg])),
    ...kids(verifiers, keys.EdDSA),
    ...types(verifiers, keys.ES256),
    ...["EdDSA", "ES256", "HS256"].flatMap((alg) => notObjects(keys[alg])),
  ];
}

// V05, X09, X11, X12, X19: the header is validly signed, and refused only because of the member.
function members(key) {
  const own = key.alg.startsWith("HS") ? { kty: "oct", k: "AAAA" } : key.jwk;
  const never = [
    ["crit", ["b64"]], ["crit", ["exp"]], ["crit", ["alg"]], ["crit", ["nowhere"]], ["crit", []],
    ["crit", ["exp", "exp"]], ["crit", [1]], ["crit", "exp"], ["crit", null], ["crit", {}],
    ["crit", false], ["b64", false], ["b64", true], ["b64", null], ["jwk", own], ["jwk", null],
    ["jwk", JSON.stringify(own)], ["jku", "https://attacker.example/keys"], ["jku", ""],
    ["x5u", "https://attacker.example/chain"], ["x5u", "file:///etc/keys"], ["x5c", ["MIIB"]],
    ["x5c", []], ["enc", "A256GCM"], ["zip", "DEF"], ["cty", "JWT"], ["cty", "jwt"],
    ["cty", "application/jwt"], ["cty", ""], ["cty", 1], ["typ", null], ["typ", ["at+jwt"]],
    ["typ", 1], ["kid", null], ["kid", 1], ["kid", [key.kid]], ["kid", { kid: key.kid }],
  ];
  const ignored = [
    ["x5t", "thumb"], ["x5t#S256", "thumb"], ["unknown", [{}]], ["cty", "JSON"], ["cty", "json"],
    ["CRIT", ["x"]], ["Alg", "none"], ["", 1], ["__proto__", { alg: "none" }],
    ["constructor", null], ["iss", "x"], ["epk", {}],
  ];
  const withMember = ([name, value]) => {
    const others = headerText(key).slice(0, -1).replace(original(key, name), "");
    const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
    return compact(key, `${others},${member}}`, claimsText());
  };
  // RFC 7797's own form: the token contains the payload without encoding.
  const { alg, kid } = key;
  const header = base64url(JSON.stringify({ alg, kid, b64: false, crit: ["b64"] }));
  const name = (member) => `${key.alg}: the header has ${JSON.stringify(member)}`;
  return [
    ...never.map((member) =>
      refused("malformed", key.alg, name(member), withMember(member), { jose: "a header member" })),
    ...ignored.map((member) => valid(key.alg, name(member), withMember(member))),
    refused("malformed", key.alg, `${key.alg}: b64 false`, signed(key, `${header}.claims`)),
    refused("malformed", key.alg, `${key.alg}: b64 false, with the payload encoded`,
      signed(key, `${header}.${base64url(claimsText())}`)),
  ];
}

/** The members that a member replaces, so that its name appears once. */
const original = ({ kid }, name) =>
  ({ kid: `"kid":"${kid}",`, typ: ',"typ":"at+jwt"' })[name] ?? "\n";

// X10: kids are compared byte by byte.
function kids(verifiers, key) {
  const named = [
    "__proto__", "constructor", "../key", "' OR '1'='1", "", " ", "a\0b", "ключ", "\u00e9", "key",
    "k".repeat(256), "toString", "{}", "👨‍👩‍👧", "null", "0",
  ];
  const rules = { algorithms: ["EdDSA"] };
  verifiers.add("odd kids", named.map((kid) => rename(key, { kid }).jwk), rules);
  verifiers.add("no kid", [rename(key, { kid: undefined }).jwk], rules);
  const unknown = [
    "KEY", "key ", " key", "key\0", "key\n", "ke", "keys", "../key/", "./../key", "%2E%2E/key",
    "prototype", "hasOwnProperty", "length", "*", "e\u0301", "a", "k".repeat(255), "ｋey",
    "key\u200b", "1", "undefined", "false",
  ];
  const one = (kid) => token(rename(key, { kid }));
  return [
    ...named.map((kid) =>
      valid("odd kids", `the kid ${JSON.stringify(kid.slice(0, 20))}`, one(kid))),
    ...unknown.map((kid, at) => refused("unknown_key", "odd kids", `unknown kid ${at}`, one(kid))),
    refused("malformed", "odd kids", "a kid of half a surrogate pair", one("\ud800")),
    ...[257, 300, 2000].map((length) =>
      refused("malformed", "odd kids", `a kid of ${length} bytes`, one("k".repeat(length)))),
    // The limit counts bytes, not characters.
    refused("malformed", "odd kids", "a kid of 128 characters and more bytes",
      one("é".repeat(129))),
    refused("unknown_key", "odd kids", "a kid of 128 characters and 256 bytes",
      one("é".repeat(128))),
    refused("unknown_key", "odd kids", "no kid where all keys have one", one(undefined)),
    valid("no kid", "no kid where the key has none", one(undefined)),
    refused("unknown_key", "no kid", "a kid where the key has none", one("key")),
    refused("unknown_key", "no kid", "an empty kid where the key has none", one("")),
  ];
}

// V11, X25: typ is compared without case, and the prefix `application/` is optional.
function types(verifiers, key) {
  const rules = (types) => ({ algorithms: ["ES256"], types });
  verifiers.add("several types", [key.jwk], rules(["at+jwt", "application/secevent+jwt", "x/y"]));
  verifiers.add("no type", [key.jwk], rules([null]));
  verifiers.add("a type or none", [key.jwk], rules(["JWT", null]));
  const access = ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"];
  const others = ["secevent+jwt", "application/secevent+jwt", "x/y", "X/Y"];
  const plain = ["JWT", "jwt", "application/JWT"];
  const never = [
    "", " at+jwt", "at+jwt ", "at+jwt;v=1", "application/", "/at+jwt",
    "application/application/at+jwt", "application/x/y", "text/at+jwt", "application at+jwt",
    "none", "at\u212aj", "ａt+jwt",
  ];
  const accepted = {
    ES256: access, "several types": [...access, ...others], "no type": [undefined],
    "a type or none": [...plain, undefined],
  };
  const all = [...access, ...others, ...plain, undefined, ...never];
  return Object.entries(accepted).flatMap(([verifier, types]) => all.map((typ) =>
    either(types.includes(typ), "wrong_type", verifier, `typ ${JSON.stringify(typ)}`,
      token(key, {}, { typ }))));
}

// V09: text that is not one plain UTF-8 object is neither a header nor a payload, even if it is signed.
function notObjects(key) {
  return [[claimsText(), false], [headerText(key), true]].flatMap(([good, isHeader]) => {
    const within = (text) => Buffer.from(`${good.slice(0, -1)},"z":${text}}`, "latin1");
    const tails = [
      "x", "{}", ",", "\0", "]", "//", "/**/", "\u00a0", "\u2028", "\ufeff", "\v", "\f",
    ];
    const values = [
      '"\xff"', '"\xc0\xaf"', '"\xed\xa0\x80"', '"\xf4\x90\x80\x80"', '"\\ud800"',
      '"\\ud800\\u0041"', '"\\x41"', "01", "+1", "1.", ".5", "0x1", "1e", "NaN", "Infinity",
      "undefined", '"\n"', '"\t"', '"\x00"', "'a'", "[1,]", "[,1]", '{"a"}', "{a:1}", "tru", "1 2",
      "1e309", "-1e309",
    ];
    const texts = [
      "", "null", "true", "1", '"a"', "[]", "foo", "{", "}", "\0", `[${good}]`,
      JSON.stringify(good), ...tails.flatMap((tail) => [good + tail, tail + good]),
      Buffer.from(good, "utf16le"), Buffer.from(good, "utf16le").swap16(),
      Buffer.from(`\ufeff${good}`, "utf16le"), ...values.map(within), `${good.slice(0, -1)},}`,
      good.replace(",", ",,"), good.replace(":", "="), good.replaceAll('"', "'"), good.slice(1),
      good.slice(0, -1),
    ];
    const sign = (text) =>
      isHeader ? compact(key, text, claimsText()) : compact(key, headerText(key), text);
    const what = isHeader ? "header" : "payload";
    return [
      ...texts.map((text, index) => refused("malformed", key.alg,
        `${key.alg}: no ${what} is text ${index}`, sign(text), { jose: "JSON" })),
      valid(key.alg, `${key.alg}: a ${what} with white space around it`, sign(` \t\r\n${good}\n `)),
      valid(key.alg, `${key.alg}: a ${what} with white space in it`,
        sign(JSON.stringify(JSON.parse(good), null, "\t"))),
    ];
  });
}
