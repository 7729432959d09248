// Turns what was pasted as keys into a JWK set in which every key names its `alg`, so that the key
// and never the token chooses the algorithm.

import type { Algorithm, JsonWebKeySet } from "offswitch";
import { decodeBase64Url, encodeBase64Url } from "./base64url";
import { jwkOfDer, type Jwk } from "./der";

export type SecretEncoding = "base64url" | "text";

/** What the token's header says; it fills in what a key leaves open, if that fits. */
export interface Hint {
  alg?: string;
  kid?: string;
}

export type KeysReading =
  | { jwks: JsonWebKeySet; algorithms: Algorithm[]; notes: string[] }
  | { problem: string; isPrivate?: true };

export function readKeys(pasted: string, encoding: SecretEncoding, hint: Hint): KeysReading {
  try {
    const keys = parse(pasted.trim(), encoding);
    if (keys.some(isPrivate)) return { problem: PRIVATE, isPrivate: true };
    return complete(keys, hint);
  } catch (error) {
    if (error instanceof PrivateKeyError) return { problem: PRIVATE, isPrivate: true };
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** What the pasted text looks like; a secret is what is neither of the others. */
export function formOf(pasted: string): "empty" | "json" | "pem" | "secret" {
  const text = pasted.trim();
  if (text === "") return "empty";
  if (/^[{[]/.test(text)) return "json";
  return text.includes("-----BEGIN") ? "pem" : "secret";
}

/** The keys of a JWK set or a single JWK; throws with a message for people. */
export function parseJwks(text: string): Jwk[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`The keys are not JSON: ${error instanceof Error ? error.message : error}`);
  }
  const list = isRecord(value) && "keys" in value ? value.keys : [value].flat();
  if (!Array.isArray(list)) throw new Error("“keys” in the JWK set is not an array.");
  if (list.length === 0) throw new Error("The JWK set has no keys.");
  if (!list.every(isRecord)) throw new Error("A key of the set is not a JSON object.");
  if (!list.some((key) => "kty" in key)) {
    throw new Error("This is JSON, but no JWK: no “kty” in it.");
  }
  return list;
}

function parse(text: string, encoding: SecretEncoding): Jwk[] {
  const form = formOf(text);
  if (form === "empty") {
    throw new Error("There are no keys yet: fetch the issuer's, or paste them.");
  }
  if (form === "json") return parseJwks(text);
  if (form === "pem") return parsePem(text);
  if (/^ssh-|^ecdsa-sha2/.test(text)) {
    throw new Error("This is an SSH key: export it as PEM first.");
  }
  if (encoding === "text") {
    return [{ kty: "oct", k: encodeBase64Url(new TextEncoder().encode(text)) }];
  }
  const { bytes, flaws } = decodeBase64Url(text);
  const flaw = flaws.find(({ reason }) => !/^padded|^base64 in place/.test(reason));
  if (flaw !== undefined) throw new Error(`The secret is not base64url: ${flaw.reason}.`);
  return [{ kty: "oct", k: encodeBase64Url(bytes) }];
}

function parsePem(text: string): Jwk[] {
  if (/-----BEGIN [A-Z0-9 ]*PRIVATE KEY/.test(text)) throw new PrivateKeyError();
  const blocks = [...text.matchAll(PEM_BLOCK)];
  if (blocks.length === 0) throw new Error("The PEM is cut off: its END line is missing.");
  return blocks.map(([, label = "", body = ""]) => {
    const { bytes, flaws } = decodeBase64Url(body.replace(/\s+/g, ""));
    if (flaws.some(({ reason }) => /^no base64url|^truncated/.test(reason))) {
      throw new Error(`The PEM block “${label}” is not base64 throughout.`);
    }
    return jwkOfDer(label, bytes);
  });
}

function complete(keys: Jwk[], hint: Hint): KeysReading {
  const notes: string[] = [];
  const taken = new Set(keys.map((key) => key.kid));
  const usable: Jwk[] = [];
  for (const [index, key] of keys.entries()) {
    const name = typeof key.kid === "string" ? `Key “${key.kid}”` : `Key ${index + 1}`;
    const found = withAlgorithm(key, hint, name, notes);
    if (found === undefined) continue;
    if (found.kid === undefined && hint.kid !== undefined && !taken.has(hint.kid)) {
      taken.add(hint.kid);
      usable.push({ ...found, kid: hint.kid });
      notes.push(`${name} names no kid; the token's is taken for it.`);
    } else if (usable.some(({ kid }) => kid === found.kid)) {
      notes.push(`${name} is left out: another key of the set has the same name, or none as well.`);
    } else {
      usable.push(found);
    }
  }
  const isSymmetric = usable.map((key) => key.kty === "oct");
  if (isSymmetric.includes(true) && isSymmetric.includes(false)) {
    return { problem: "Secrets and public keys are mixed: one could be taken for the other." };
  }
  if (usable.length === 0) return { problem: ["No key can be used.", ...notes].join(" ") };
  noteMissing(usable, hint, notes);
  const algorithms = [...new Set(usable.map(({ alg }) => alg as Algorithm))];
  return { jwks: { keys: usable }, algorithms, notes };
}

/** The key with an `alg`; undefined, and a note, where it is of no use. */
function withAlgorithm(key: Jwk, { alg }: Hint, name: string, notes: string[]): Jwk | undefined {
  const possible = algorithmsFor(key);
  if (possible.length === 0) {
    const kind = [key.kty, key.crv].filter((part) => typeof part === "string").join(" ");
    notes.push(`${name} is left out: the verifier checks no signatures of ${kind || "that kind"}.`);
    return undefined;
  }
  if (typeof key.alg === "string") {
    if (possible.includes(key.alg)) return key;
    notes.push(`${name} is left out: its alg ${key.alg} does not fit it, or is not checked.`);
    return undefined;
  }
  if (alg !== undefined && possible.includes(alg)) {
    notes.push(`${name} names no alg; ${alg} of the token fits it and is taken.`);
    return { ...key, alg };
  }
  if (possible.length <= 2 && key.kty !== "oct") return { ...key, alg: possible[0] };
  const why = alg === undefined ? "the token names none" : `the token's ${alg} does not fit it`;
  notes.push(`${name} is left out: it names no alg, and ${why}.`);
  return undefined;
}

function noteMissing(keys: Jwk[], { alg, kid }: Hint, notes: string[]): void {
  const named = keys.find((key) => key.kid === kid);
  if (named === undefined) {
    const wanted = kid === undefined ? "The token names no kid" : `The token's kid is “${kid}”`;
    const names = keys.slice(0, 5).map((key) => `“${key.kid ?? "(none)"}”`).join(", ");
    notes.push(`${wanted}; the keys here are ${names}${keys.length > 5 ? ", …" : ""}.`);
  } else if (alg !== undefined && named.alg !== alg) {
    notes.push(`The key is for ${named.alg}, the token says ${alg}.`);
  }
}

function algorithmsFor({ kty, crv }: Jwk): string[] {
  if (kty === "RSA") return ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
  if (kty === "oct") return ["HS256", "HS384", "HS512"];
  if (kty === "EC" && crv === "P-256") return ["ES256"];
  if (kty === "OKP" && crv === "Ed25519") return ["EdDSA", "Ed25519"];
  return [];
}

function isPrivate(key: Jwk): boolean {
  return key.kty !== "oct" && "d" in key;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

class PrivateKeyError extends Error {}

const PRIVATE = "This is a private key: whoever has it can make tokens. It was not used. Take it "
  + "out of here, and replace it if it was ever pasted anywhere else.";
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g;
