// What is odd about a token. Nothing here depends on keys or on a verdict.

import { bytes, duration, relativeTime } from "../shared/format";
import type { Decoded } from "./decode";
import { formatJson, member, numberMember, textMember, type Json } from "./json";
import { isInMilliseconds } from "./times";

export interface Warning {
  level: "danger" | "notice" | "warning";
  text: string;
}

/** The most serious first. */
export function warningsOf(decoded: Decoded, now: number): Warning[] {
  if (decoded.form === "empty" || decoded.form === "opaque") return [];
  const found = [
    ...ofHeader(decoded.header),
    ...(decoded.form === "jws" ? ofClaims(decoded.claims) : []),
    ...(decoded.form === "jws" ? ofTimes(decoded, now) : []),
    ...ofSize(decoded),
    ...ofMembers(decoded),
  ];
  return found.sort((one, other) => LEVELS.indexOf(one.level) - LEVELS.indexOf(other.level));
}

function ofHeader(header: Json | undefined): Warning[] {
  if (header === undefined) return [];
  const found = ofAlgorithm(textMember(header, "alg"));
  if (member(header, "kid") === undefined) {
    found.push(notice("No kid: with several keys a verifier cannot tell which one signed it."));
  }
  const typ = textMember(header, "typ");
  if (typ === undefined) {
    found.push(notice("No typ: an ID token or another JWT could be accepted as an access token."));
  } else if (!/^(application\/)?at\+jwt$/i.test(typ)) {
    found.push(notice(`typ is “${typ}”, not “at+jwt” (RFC 9068): strict APIs refuse it.`));
  }
  for (const name of OWN_KEYS) {
    if (member(header, name) === undefined) continue;
    const why = "the token names its own key. A verifier must ignore it.";
    found.push(danger(`${name} in the header: ${why}`));
  }
  for (const name of ["crit", "b64", "zip"]) {
    if (member(header, name) === undefined) continue;
    found.push(warning(`${name} in the header: an extension that the verifier refuses.`));
  }
  return found;
}

function ofAlgorithm(alg: string | undefined): Warning[] {
  if (alg === undefined) return [danger("No alg: a verifier cannot tell how it is signed.")];
  if (/^none$/i.test(alg)) return [danger("alg is “none”: unsigned, anyone can write it.")];
  if (/^HS\d+$/.test(alg)) {
    const why = "everyone who can check such a token can also make one. With a public key it must be "
      + "refused.";
    return [warning(`${alg} is a shared secret: ${why}`)];
  }
  if (/^(RS1|HS1|ES256K)$|MD5/i.test(alg)) return [danger(`${alg} is weak or rarely supported.`)];
  if (SUPPORTED.includes(alg)) return [];
  return [warning(`${alg} is not supported by the verifier.`)];
}

function ofClaims(claims: Json | undefined): Warning[] {
  if (claims === undefined) return [];
  const found: Warning[] = [];
  if (member(claims, "jti") === undefined) {
    found.push(warning("No jti: this one token cannot be revoked by name."));
  }
  if (member(claims, "exp") === undefined) {
    found.push(danger("No exp: it never expires, so a revocation of it could never be forgotten."));
  }
  if (member(claims, "iat") === undefined) {
    found.push(warning("No iat: it looks the same as tokens issued after a logout everywhere."));
  }
  for (const name of TIMES) {
    const value = member(claims, name);
    if (value === undefined || value.kind === "number") continue;
    found.push(danger(`${name} is not a number but ${formatJson(value).slice(0, 40)}.`));
  }
  const personal = PERSONAL.filter((name) => member(claims, name) !== undefined);
  if (personal.length > 0) {
    const names = personal.join(", ");
    found.push(notice(`Personal data (${names}): everyone who sees the token or a log can read it.`));
  }
  return found;
}

function ofTimes({ header, claims }: Decoded, now: number): Warning[] {
  const found: Warning[] = [];
  const [exp, iat, nbf] = ["exp", "iat", "nbf"].map((name) => numberMember(claims, name));
  for (const [name, value] of [["exp", exp], ["iat", iat], ["nbf", nbf]] as const) {
    if (value === undefined || !isInMilliseconds(value)) continue;
    const what = name === "exp" ? ": read as seconds, it lasts for thousands of years" : "";
    found.push(danger(`${name} is in milliseconds, not seconds${what}.`));
  }
  if (exp !== undefined && !isInMilliseconds(exp) && exp <= now) {
    found.push(warning(`Expired ${relativeTime(exp, now)}.`));
  }
  const start = Math.max(nbf ?? 0, iat ?? 0);
  if (start > now + LEEWAY_SECONDS && !isInMilliseconds(start)) {
    const which = start === nbf ? "nbf" : "iat";
    found.push(warning(`Not yet valid: ${which} is ${relativeTime(start, now)}.`));
  }
  const life = exp !== undefined && !isInMilliseconds(exp) ? exp - (iat ?? nbf ?? now) : 0;
  if (life > DAY_SECONDS) {
    found.push(warning(`Lives for ${duration(life)}: a thief can use it as long, unless it is revoked.`));
  } else if (life > HOUR_SECONDS && /at\+jwt$/i.test(textMember(header, "typ") ?? "")) {
    found.push(notice(`Lives for ${duration(life)}; access tokens should live for minutes.`));
  }
  return found;
}

function ofSize({ token }: Decoded): Warning[] {
  const size = token.length;
  const shown = bytes(size);
  if (size > 16 * 1024) return [danger(`${shown}: the verifier refuses more than 16 KiB.`)];
  if (size > 8 * 1024) return [warning(`${shown}: many servers refuse headers above 8 KiB.`)];
  if (size > 4 * 1024) return [notice(`${shown}: too large for a cookie, and sent with every request.`)];
  return [];
}

function ofMembers({ segments }: Decoded): Warning[] {
  return segments.flatMap(({ name, json }) => {
    const { repeated = [], imprecise = [] } = json?.reading ?? {};
    return [
      ...repeated.map((path) =>
        danger(`“${path}” appears twice in the ${name}: readers differ in which one they use.`)),
      ...imprecise.map((path) =>
        warning(`The number “${path}” has more digits than JavaScript and other readers keep.`)),
    ];
  });
}

function danger(text: string): Warning {
  return { level: "danger", text };
}

function notice(text: string): Warning {
  return { level: "notice", text };
}

function warning(text: string): Warning {
  return { level: "warning", text };
}

const LEVELS: Array<Warning["level"]> = ["danger", "warning", "notice"];
const OWN_KEYS = ["jku", "jwk", "x5c", "x5u"];
const PERSONAL = ["name", "given_name", "family_name", "middle_name", "nickname", "email", "upn",
  "preferred_username", "unique_name", "phone_number", "address", "birthdate", "gender", "picture",
  "ipaddr"];
const SUPPORTED =
  ["EdDSA", "Ed25519", "ES256", "ES384", "ES512",
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
const TIMES = ["exp", "iat", "nbf"];
const LEEWAY_SECONDS = 30;
const HOUR_SECONDS = 3600;
const DAY_SECONDS = 86_400;
