// Times: the range of a NumericDate, and the verdict one second on either side of each limit.

import { AUDIENCE } from "../../support/fixture.mjs";
import { either, refused, valid } from "./expected.mjs";
import { NOW, claimsText, compact, headerText, token } from "./keys.mjs";

/** Later than all clocks of the cases, and within the longest lifetime. */
const FAR = NOW + 100_000;
/** The longest lifetime at an issuer whose name is not that of the feed. */
const WEEK = 604_800;

export function timeCases(verifiers, keys) {
  return [
    ...["EdDSA", "ES256"].flatMap((alg) => spelled(keys[alg])),
    ...[0, 30, 300].flatMap((leeway) => borders(keys.ES256, `leeway ${leeway}`, leeway)),
    ...clocks(keys.EdDSA),
    ...lifetimes(verifiers, keys.EdDSA),
  ];
}

// D100: a token that outlives its revocation is refused: by exp - iat, or by the remaining time without iat.
function lifetimes(verifiers, key) {
  const own = { issuers: [{ issuer: "feed", audience: AUDIENCE, keys: { keys: [key.jwk] } }] };
  const made = {
    "a week for others": [{}, WEEK], "a day for the feed's own": [own, 86_400, { iss: "feed" }],
    "ten minutes": [{ maxLifetime: 600 }, 600],
  };
  const milliseconds = { exp: (NOW + 600) * 1000 };
  return Object.entries(made).flatMap(([name, [options, limit, claims]]) => {
    verifiers.add(name, [key.jwk], { ...options, requiredClaims: ["exp"], ...lax(options) });
    const lives = (seconds, at = 0) => token(key, { ...claims, iat: NOW + at, exp: NOW + at + seconds });
    const left = (seconds) => token(key, { ...claims, iat: undefined, exp: NOW + seconds });
    const long = (what, text) =>
      refused("lifetime_too_long", name, `${name}: ${what}`, text, { jose: "a lifetime" });
    return [
      ...[1, limit - 1, limit].flatMap((seconds) => [
        valid(name, `${name}: lives ${seconds} s`, lives(seconds)),
        valid(name, `${name}: has ${seconds} s left`, left(seconds)),
      ]),
      valid(name, `${name}: without iat, within the leeway`, left(limit + 30)),
      long("a second more", lives(limit + 1)), long("begun before", lives(limit + 1, -200)),
      long("a second more is left", left(limit + 31)),
      long("exp in milliseconds", token(key, { ...claims, ...milliseconds })),
      long("exp in milliseconds without iat",
        token(key, { ...claims, ...milliseconds, iat: undefined })),
    ];
  });
}

const lax = ({ issuers }) => (issuers === undefined ? {}
  : { issuers: issuers.map((one) => ({ ...one, requiredClaims: ["exp"] })), requiredClaims: undefined });

// V10, X15
function spelled(key) {
  const lives = (seconds, code) => (seconds > WEEK ? "lifetime_too_long" : code);
  const code = {
    exp: (seconds) => lives(seconds - (NOW - 10), seconds <= NOW ? "expired" : "valid"),
    iat: (seconds) => lives(NOW + 600 - seconds, seconds > NOW ? "not_yet_valid" : "valid"),
    nbf: (seconds) => (seconds > NOW ? "not_yet_valid" : "valid"),
  };
  const never = [
    "-1", "-0.5", "-1e-9", "9007199254740992", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e16", "1e19", "1e50",
    "1e308", "-9223372036854775808", "-1e308", "1e309", "-1e309", "1e99999", '"1800000600"',
    '"2027-01-15"', "[1800000600]", "null", "true", "NaN", "Infinity", "0x6b49d200", "01800000600",
    "1_800_000_600", "+1800000600", "1800000600.", ".5",
  ];
  const numbers = [
    "0", "-0", "0.0", "-0.0", "1e-400", "1e-5", "0.999", "1", "1799999999", "1800000600",
    `${NOW}.0`, "1800000600.0", "1800000600.5", "1800000600.999", "1.8000006e9", "1.8000006E+9",
    "18000006e2", "180000060000e-2", "9007199254740991", "9007199254740991.0",
  ];
  const withTime = (claim, text) =>
    compact(key, headerText(key), claimsText({ [claim]: "TIME" }).replace('"TIME"', text));
  return Object.keys(code).flatMap((claim) => [
    ...never.map((text) => refused("malformed", "lax", `${key.alg}: ${claim} is ${text}`,
      withTime(claim, text), { jose: "the range of a time" })),
    ...numbers.map((text) => {
      const expected = code[claim](Math.floor(Number(text)));
      const toCome = claim === "iat" && expected === "not_yet_valid";
      const more = expected === "lifetime_too_long" ? { jose: "a lifetime" }
        : toCome ? { jose: "iat to come" } : {};
      return either(expected === "valid", expected, "lax", `${key.alg}: ${claim} is ${text}`,
        withTime(claim, text), more);
    }),
  ]);
}

// V10: the leeway is added on either side; fractions are cut off.
function borders(key, verifier, leeway) {
  const fractions = ["", ".5", ".999"];
  const at = (seconds) => ({ at: seconds - NOW });
  const made = (claim, time, fraction) => {
    const text = claimsText({ exp: FAR, iat: NOW - 1000, nbf: 0, [claim]: "TIME" });
    return compact(key, headerText(key), text.replace('"TIME"', `${time}${fraction}`));
  };
  return [1, 1000, 40_000].flatMap((ahead) => fractions.flatMap((fraction) => {
    const more = fraction === "" ? {} : { jose: "a fraction" };
    const [end, start] = [NOW + ahead, NOW + 400 + ahead];
    const ending = [-1000, -2, -1, -0.5, 0, 0.5, 1, 2, 1000].map((beyond) => {
      const now = end + leeway + beyond;
      const name = `${beyond} s after exp${fraction} + ${leeway} in ${ahead}`;
      return either(Math.floor(now) < end + leeway, "expired", verifier, name,
        made("exp", end, fraction), { ...at(now), ...more });
    });
    const starting = (claim, why) => [-100, -2, -1, -0.5, 0, 0.5, 1, 2, 100].map((beyond) => {
      const now = start - leeway + beyond;
      const name = `${beyond} s after ${claim}${fraction} - ${leeway} in ${ahead}`;
      return either(Math.floor(now) >= start - leeway, "not_yet_valid", verifier, name,
        made(claim, start, fraction), { ...at(now), ...why });
    });
    return [...ending, ...starting("nbf", more), ...starting("iat", { jose: "iat to come" })];
  }));
}

/** One token at several times, remembered or not. */
function clocks(key) {
  const text = token(key, { exp: NOW + 20, nbf: NOW - 100, iat: NOW - 100 });
  const early = token(key, { nbf: NOW + 40, iat: NOW - 10, exp: NOW + 600, jti: "early" });
  return [
    ...[0, 5, 19, 20, 49, 49.9].map((at) => valid("EdDSA", `a token at ${at} s`, text, { at })),
    ...[50, 51, 10_000].map((at) =>
      refused("expired", "EdDSA", `a token at ${at} s`, text, { at })),
    valid("EdDSA", "a token once more at its beginning", text),
    refused("not_yet_valid", "EdDSA", "an early token too early", early, { at: 9 }),
    valid("EdDSA", "an early token in time", early, { at: 10 }),
    refused("not_yet_valid", "EdDSA", "an early token after the clock was put back", early,
      { at: 0 }),
    // Both are wrong: expiry is reported first.
    refused("expired", "EdDSA", "neither begun nor on",
      token(key, { nbf: NOW + 500, exp: NOW - 500 })),
  ];
}
