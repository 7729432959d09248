// Claims: each has one type, some are required, and all others are passed on unchanged.

import { AUDIENCE, ISSUER } from "../../support/fixture.mjs";
import { ALGORITHMS } from "../algorithms.mjs";
import { either, refused, valid } from "./expected.mjs";
import { NOW, claimsText, compact, headerText, token } from "./keys.mjs";
import { CLAIMS } from "./verifiers.mjs";

export function claimCases(verifiers, keys) {
  return [
    ...wrongTypes(keys.EdDSA, ["EdDSA", "strict", "lax", "lax by time"]),
    ...ALGORITHMS.flatMap((alg) => wrongTypes(keys[alg], [alg], [null, [], {}, ""])),
    ...missing(keys.ES256),
    ...audiences(verifiers, keys.ES256),
    ...issuers(keys.EdDSA),
    ...handedOn(keys.EdDSA),
    ...ids(keys.EdDSA),
    ...scopes(keys.EdDSA),
    ...values(verifiers, keys.EdDSA),
    ...bindings(keys.EdDSA),
  ];
}

// I15, D107: an id has at most the 256 bytes that a revocation can name.
function ids(key) {
  const good = ["i", "i".repeat(256), "ключ".repeat(32), "🔑".repeat(64), "\0".repeat(256), " "];
  const long = ["i".repeat(257), `${"ключ".repeat(32)}i`, "🔑".repeat(65), "i".repeat(5000)];
  return ["EdDSA", "lax"].flatMap((verifier) => ["sub", "jti", "sid"].flatMap((claim) => [
    ...good.map((id, at) =>
      valid(verifier, `${claim} number ${at}`, token(key, { [claim]: id }))),
    ...long.map((id, at) => refused("malformed", verifier, `a ${claim} too long, number ${at}`,
      token(key, { [claim]: id }), { jose: "the length of an id" })),
  ]));
}

// I14: a token with `cnf` is not a bearer token, with any value of `cnf`.
function bindings(key) {
  const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
  const bound = [{ jkt }, { jkt, more: 1 }, { "x5t#S256": jkt }, { kid: "k" }, {}];
  const odd = [null, true, 1, jkt, [], [{ jkt }], { jkt: null }, { jkt: "" }, { jkt: `${jkt}=` }, { jkt: jkt.slice(1) }];
  const jose = { jose: "the binding of a token" };
  return [["sender_constrained", bound], ["malformed", odd]].flatMap(([code, values]) => values.map((cnf) =>
    refused(code, "EdDSA", `cnf is ${JSON.stringify(cnf)}`, token(key, { cnf }), jose)));
}

// D109: both names of the scope claim, each as a string or an array of strings.
function scopes(key) {
  const good = ["", "read", "read write", [], ["read"], ["read", "write"]];
  const odd = [null, true, 1, {}, { read: true }, [1], ["read", null], [["read"]]];
  return ["scope", "scp"].flatMap((claim) => [
    ...good.map((value) =>
      valid("EdDSA", `${claim} ${JSON.stringify(value)}`, token(key, { [claim]: value }))),
    ...odd.map((value) => refused("malformed", "EdDSA", `${claim} ${JSON.stringify(value)}`,
      token(key, { [claim]: value }), { jose: "the type of a claim" })),
  ]);
}

// D115: claims with a required value, such as the client of Cognito's access tokens.
function values(verifiers, key) {
  const name = verifiers.add("required values", [key.jwk],
    { requiredClaims: { client_id: ["one", "two"], token_use: "access" } });
  const jose = { jose: "a required value" };
  const made = (client_id, token_use) => token(key, { client_id, token_use });
  return [
    ...["one", "two"].map((client) => valid(name, `the client ${client}`, made(client, "access"))),
    ...["One", "one ", "", "three", "onetwo", ["one"], null, 1, { one: true }].map((client) =>
      refused("wrong_claim", name, `the client ${JSON.stringify(client)}`, made(client, "access"), jose)),
    refused("wrong_claim", name, "an ID token", made("one", "id"), jose),
    refused("missing_claim", name, "no client", made(undefined, "access"), jose),
    refused("missing_claim", name, "no use", made("one", undefined), jose),
    // The names are still required.
    refused("missing_claim", name, "values and no jti",
      token(key, { client_id: "one", token_use: "access", jti: undefined })),
  ];
}


// V08, X14, X28: every known claim with every JSON type, required or not: either the type is right
// or the token is malformed, and no value counts as absent.
function wrongTypes(key, verifiers, values = VALUES) {
  return verifiers.flatMap((verifier) => CLAIMS.flatMap((claim) => values.map((value) => {
    const text = token(key, { nbf: NOW - 10, [claim]: value });
    const name = `${key.alg}: ${claim} is ${JSON.stringify(value)}`;
    const code = codeOf(verifier, claim, value);
    const jose = { malformed: "the type of a claim", lifetime_too_long: "a lifetime",
      missing_claim: "an empty id" }[code];
    return either(code === "valid", code, verifier, name, text, jose && { jose });
  })));
}

const VALUES = [
  null, true, false, "", "1", `${NOW + 600}`, 0, 1.5, -1, [], [1], [null], [["api"]], [""], {},
  { exp: NOW + 600 }, [NOW + 600],
];

/** The verdict on a token that is valid except that `claim` is `value`. */
function codeOf(verifier, claim, value) {
  const isString = (one) => typeof one === "string";
  const isText = isString(value) && value !== "";
  const isTime = typeof value === "number" && value >= 0;
  const isLax = verifier.startsWith("lax");
  switch (claim) {
    case "aud":
      if (![value].flat().every(isString)) return "malformed";
      return isLax ? "valid" : "wrong_audience";
    case "exp": return isTime ? "expired" : "malformed";
    case "iat":
      // A token this old outlives its revocation.
      return isTime ? "lifetime_too_long" : "malformed";
    case "nbf": return isTime ? "valid" : "malformed";
    case "iss": return isText ? "wrong_issuer" : "malformed";
    case "ver":
      if (verifier === "lax by time") return "valid";
      return isTime && Number.isInteger(value) ? "valid" : "malformed";
    default:
      // An empty id counts as absent.
      if (value === "" && isRequired(verifier, claim)) return "missing_claim";
      return isString(value) ? "valid" : "malformed";
  }
}

const REQUIRED = { strict: CLAIMS, lax: ["exp"], "lax by time": ["exp"] };
const isRequired = (verifier, claim) =>
  (REQUIRED[verifier] ?? ["exp", "iat", "sub", "jti"]).includes(claim);

// V08, X28: a token that cannot be revoked because a claim is missing.
function missing(key) {
  const without = (claim) => token(key, { nbf: NOW - 10, [claim]: undefined });
  const code = (verifier, claim) => {
    if (claim === "iss") return "wrong_issuer";
    if (claim === "aud" && verifier !== "lax") return "wrong_audience";
    const required = { ES256: ["exp", "iat", "sub", "jti"], strict: CLAIMS, lax: ["exp"] };
    return required[verifier].includes(claim) ? "missing_claim" : "valid";
  };
  const bare = { sub: undefined, jti: undefined, iat: undefined, sid: undefined, ver: undefined };
  const another = { EXP: NOW + 600, "exp ": NOW + 600, expires_at: NOW + 600 };
  return ["ES256", "strict", "lax"].flatMap((verifier) => [
    ...CLAIMS.map((claim) => {
      const expected = code(verifier, claim);
      return either(expected === "valid", expected, verifier, `no ${claim}`, without(claim));
    }),
    refused("wrong_issuer", verifier, "no claims at all", compact(key, headerText(key), "{}")),
    either(verifier === "lax", "missing_claim", verifier, "little more than exp", token(key, bare)),
    // Members that look like the claim and are not.
    refused("missing_claim", verifier, "exp in other letters",
      token(key, { exp: undefined, nbf: NOW, ...another })),
    refused("missing_claim", verifier, "exp in an object",
      token(key, { exp: undefined, nbf: NOW, claims: { exp: NOW + 600 } })),
  ]);
}

function audiences(verifiers, key) {
  verifiers.add("several audiences", [key.jwk],
    { algorithms: ["ES256"], audience: ["api", "https://api.test/"] });
  const good = [AUDIENCE, [AUDIENCE], ["other", AUDIENCE], [AUDIENCE, AUDIENCE], ["", AUDIENCE]];
  const bad = [
    "other", ["other"], [], "API", "api ", " api", "api\0", "apі", "ap", "apis", "api,other", "*",
    "unchecked", "https://api.test", ["api "], [""], ["a", "p", "i"], "__proto__",
  ];
  const [first, second] = ["https://api.test/", ["https://api.test/", "x"]];
  return [
    ...["ES256", "several audiences"].flatMap((verifier) => [
      ...good.map((aud) => valid(verifier, `aud ${JSON.stringify(aud)}`, token(key, { aud }))),
      ...bad.map((aud) =>
        refused("wrong_audience", verifier, `aud ${JSON.stringify(aud)}`, token(key, { aud }))),
    ]),
    ...[first, second].flatMap((aud) => [
      valid("several audiences", `aud ${JSON.stringify(aud)}`, token(key, { aud })),
      refused("wrong_audience", "ES256", `aud ${JSON.stringify(aud)}`, token(key, { aud })),
    ]),
    ...[...good, ...bad, undefined].map((aud) =>
      valid("lax", `unchecked aud ${JSON.stringify(aud)}`, token(key, { aud }))),
  ];
}

function issuers(key) {
  const bad = [
    `${ISSUER}/`, ISSUER.toUpperCase(), ` ${ISSUER}`, `${ISSUER}\0`,
    ISSUER.replace("https", "http"), `${ISSUER}.attacker.example`, ISSUER.replace("i", "і"),
    "https://issuer.test:443", "//issuer.test", "issuer.test", "*", ISSUER.slice(0, -1), "null",
  ];
  return bad.map((iss) =>
    refused("wrong_issuer", "EdDSA", `iss ${JSON.stringify(iss)}`, token(key, { iss })));
}

// V13, V17: the claims that the application gets are those that were signed, in any encoding.
function handedOn(key) {
  const values = [
    '{"a":[1,2,{"b":null}]}', '"\\u0041\\n\\"\\\\\\/"', '"🔑 ключ \u2028 \u007f"',
    '"\\ud83d\\udd11"', "0.1", "-0", "1e-7", "1E+2", "123456789012345678901234567890",
    "-9007199254740993", "1.7976931348623157e308", "5e-324", "true", "[]", "{}", '""', '"\\u0000"',
    '"<script>"', '{"__proto__":{"admin":true},"constructor":1,"toString":"x","length":0}',
    '{"":{"":{"":0}}}', `[${"0,".repeat(2000)}0]`, `"${"x".repeat(5000)}"`,
  ];
  const names = [
    "x", "__proto__", "constructor", "hasOwnProperty", "", " ", "exp ", "EXP", "\\u0065xpires",
    "a.b", "$ref", "then", "toJSON",
  ];
  const withMember = (name, value) =>
    compact(key, headerText(key), `${claimsText().slice(0, -1)},"${name}":${value}}`);
  const nested = (depth, open = "[", inside = "", close = "]") =>
    withMember("x", open.repeat(depth) + inside + close.repeat(depth));
  const deep = (depth) =>
    refused("malformed", "EdDSA", `${depth} levels`, nested(depth), { jose: "depth" });
  return [
    ...values.map((value) =>
      valid("EdDSA", `a claim ${value.slice(0, 30)}`, withMember("x", value))),
    ...names.map((name) => valid("EdDSA", `a claim named ${name}`, withMember(name, '{"a":1}'))),
    valid("EdDSA", "a sub in other letters",
      token(key, { sub: "ключ 🔑", jti: "\u0000", sid: "\u2028" })),
    valid("EdDSA", "a sub that is escaped",
      compact(key, headerText(key), claimsText().replace('"user"', '"\\u0075\\u0073er"'))),
    valid("EdDSA", "exp that is escaped",
      compact(key, headerText(key), claimsText().replace('"exp"', '"\\u0065xp"'))),
    // V13, X21: 128 levels including the outermost, and not one more.
    ...[1, 64, 126].map((depth) => valid("EdDSA", `${depth} levels`, nested(depth))),
    ...[127, 128, 129, 1000, 5000].map(deep),
    valid("EdDSA", "100 objects in each other", nested(100, '{"a":', "0", "}")),
    refused("malformed", "EdDSA", "500 objects in each other", nested(500, '{"a":', "0", "}"),
      { jose: "depth" }),
    refused("malformed", "EdDSA", "arrays that do not end",
      compact(key, headerText(key), "[".repeat(10_000))),
    refused("malformed", "EdDSA", "a header of arrays",
      compact(key, `{"alg":"EdDSA","x":${"[".repeat(2900)}`, claimsText())),
  ];
}
