// The compact form: one accepted spelling of each token.

import { ALGORITHMS } from "../algorithms.mjs";
import { refused, valid } from "./expected.mjs";
import {
  base64url, claimsText, compact, headerText, segments, signature, signed, token,
} from "./keys.mjs";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

export function spellingCases(_, keys) {
  return [
    ...["EdDSA", "ES256", "RS256", "PS256", "HS256"].flatMap((alg) => changed(keys[alg])),
    ...ALGORITHMS.flatMap((alg) => lastCharacters(keys[alg])),
    ...["EdDSA", "ES256", "HS256"].flatMap((alg) => frills(keys[alg])),
    ...["EdDSA", "ES256", "RS256", "HS256"].flatMap((alg) => forms(keys[alg])),
    ...["EdDSA", "HS256"].flatMap((alg) => caps(keys[alg])),
  ];
}

// V06: one character of a token is changed, at each place.
function changed(key) {
  const text = token(key);
  return Array.from(text, (character, place) => {
    if (character === ".") return forDot(key, text, place);
    const next = ALPHABET[(ALPHABET.indexOf(character) + 1) % 64];
    const other = text.slice(0, place) + next + text.slice(place + 1);
    return refused(codeOf(key, other), key.alg, `${key.alg} changed at ${place}`, other,
      reason(text, other));
  });
}

const forDot = (key, text, place) =>
  refused("malformed", key.alg, `${key.alg} without the dot at ${place}`,
    text.slice(0, place) + text.slice(place + 1));

/** jose accepts stray bits. */
function reason(text, other) {
  const isSame = [0, 1, 2].every((at) => bytesOf(text, at).equals(bytesOf(other, at)));
  return isSame ? { jose: "base64url" } : {};
}

const bytesOf = (text, at) => Buffer.from(segments(text)[at], "base64url");

/** The expected code for a token with one changed character, by an independent decoder. */
function codeOf(key, text) {
  const [head, , tail] = segments(text);
  let header;
  try {
    header = JSON.parse(decoder.decode(strict(head)));
    strict(tail);
  } catch {
    return "malformed";
  }
  if (typeof header.alg !== "string") return "malformed";
  if (header.alg !== key.alg) return "unsupported_algorithm";
  // Without a kid the only key is used.
  const { kid = key.kid } = header;
  return kid === key.kid ? "bad_signature" : "unknown_key";
}

function strict(segment) {
  const bytes = Buffer.from(segment, "base64url");
  if (base64url(bytes) !== segment) throw new Error("not canonical");
  return bytes;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// V06, X17: of the 64 possible last characters of a signature, one is the original, and those of
// the others that have no stray bits are other signatures.
function lastCharacters(key) {
  const text = token(key);
  const stem = text.slice(0, -1);
  return Array.from(ALPHABET, (last) => {
    const name = `${key.alg}: the last character ${last}`;
    const other = stem + last;
    if (other === text) return valid(key.alg, name, text);
    return refused(codeOf(key, other), key.alg, name, other, reason(text, other));
  });
}

// V06, X17: the signature covers the extra characters here, so that only the encoding is wrong.
function frills(key) {
  const [header, payload] = [base64url(headerText(key)), base64url(claimsText())];
  const tail = base64url(signature(key, `${header}.${payload}`));
  const added = [
    "=", "==", "\n", "\r\n", " ", "\t", "\0", "%3D", "+", "/", "~", "!", "\ufeff", "é", "\u2028",
    "\ud800",
  ];
  return added.flatMap((frill) => {
    const isRead = /^[=\s]+$/.test(frill) ? { jose: "base64url" } : {};
    const refuse = (place, text) =>
      refused("malformed", key.alg, `${key.alg}: ${JSON.stringify(frill)} ${place}`, text, isRead);
    return [
      refuse("after the header", signed(key, `${header}${frill}.${payload}`)),
      refuse("before the header", signed(key, `${frill}${header}.${payload}`)),
      refuse("after the payload", signed(key, `${header}.${payload}${frill}`)),
      refuse("before the payload", signed(key, `${header}.${frill}${payload}`)),
      refuse("in the payload",
        signed(key, `${header}.${payload.slice(0, 8)}${frill}${payload.slice(8)}`)),
      refuse("after the signature", `${header}.${payload}.${tail}${frill}`),
      refuse("before the signature", `${header}.${payload}.${frill}${tail}`),
    ];
  }).concat(strayBits(key, header));
}

/** A changed last character of a payload, signed with it: a lax reader sees the same claims. */
function strayBits(key, header) {
  return [1, 2].flatMap((rest) => {
    let text = claimsText();
    while (text.length % 3 !== rest) text += " ";
    const payload = base64url(text);
    return Array.from(ALPHABET, (last) => {
      const one = signed(key, `${header}.${payload.slice(0, -1)}${last}`);
      const name = `${key.alg}: ${rest} bytes over, the payload's last character is ${last}`;
      if (last === payload.at(-1)) return valid(key.alg, name, one);
      // Without stray bits the text ends with another character and is no JSON any more.
      return refused("malformed", key.alg, name, one,
        bytesOf(one, 1).equals(Buffer.from(text)) ? { jose: "base64url" } : {});
    });
  });
}

// V05, X18, X19, X20: anything but three segments.
function forms(key) {
  const text = token(key);
  const [header, payload, tail] = segments(text);
  const flattened = { protected: header, payload, signature: tail };
  const general = { payload, signatures: [{ protected: header, signature: tail }] };
  const texts = [
    "", ".", "..", "...", "a.b", "a.b.c", "a.b.c.d.e", "{}", "\0", "null", "undefined", "🗝.🗝.🗝",
    "\ud800.\udc00.x", "x".repeat(20_000), ".".repeat(16_384), `${header}..`.repeat(400),
    `${text}.`, `.${text}`, ` ${text}`, `${text} `, `${text}\n`, `\ufeff${text}`, `Bearer ${text}`,
    `"${text}"`, `${header}.${payload}`, `${header}.${tail}`, payload, header,
    `.${payload}.${tail}`, `${text}.${tail}`, `${text}.${payload}.${tail}`,
    JSON.stringify(flattened), `${header}.${payload}.${payload}.${payload}.${tail}`,
    JSON.stringify(general), base64url(text), text.replaceAll(".", ","), text.replaceAll(".", "。"),
    text.replaceAll(".", "%2E"), encodeURIComponent(JSON.stringify(flattened)), `${text},${text}`,
    `${text}~`,
  ];
  const bad = (name, one) => refused("bad_signature", key.alg, `${key.alg}: ${name}`, one);
  return [
    ...texts.map((one, index) => {
      const more = one.trimEnd() === text ? { jose: "base64url" } : {};
      return refused("malformed", key.alg, `${key.alg}: not a token ${index}`, one, more);
    }),
    bad("a detached payload", `${header}..${tail}`),
    bad("no signature", `${header}.${payload}.`),
    refused("malformed", key.alg, `${key.alg}: an empty payload that is signed`,
      signed(key, `${header}.`)),
  ];
}

// V12, X20: both size limits, and a token exactly at the limit.
function caps(key) {
  const padded = (header, payload) =>
    compact(key, headerText(key) + " ".repeat(header), claimsText() + " ".repeat(payload));
  const header = 3072 - headerText(key).length;
  // How many bytes of payload fit in addition to the rest.
  const left = 16_384 - padded(0, 0).length + segments(padded(0, 0))[1].length;
  const payload = Math.floor((left * 3) / 4) - claimsText().length;
  return [
    valid(key.alg, `${key.alg}: the longest header`, padded(header, 0)),
    refused("malformed", key.alg, `${key.alg}: a header that is too long`, padded(header + 1, 0),
      { jose: "a cap" }),
    valid(key.alg, `${key.alg}: the longest token`, padded(0, payload)),
    refused("malformed", key.alg, `${key.alg}: a token that is too long`, padded(0, payload + 2),
      { jose: "a cap" }),
  ];
}
