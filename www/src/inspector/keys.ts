// Pasted keys as the text of a JWK set. The package decides which of them verify; nothing here does.

import { decodeBase64Url, encodeBase64Url } from "./base64url";
import { jwkOfDer, type Jwk } from "./der";

export type SecretEncoding = "base64url" | "text";

/** What the token's header says. PEM and secrets have no room for it. */
export interface Hint {
  alg?: string;
  kid?: string;
}

/** A JWK set as text, and how it was made; or why there is none. */
export type PastedKeys = { jwks: string; notes: string[] } | { problem: string };

/** JSON is handed on unchanged. */
export function jwksOf(pasted: string, encoding: SecretEncoding, hint: Hint): PastedKeys {
  const text = pasted.trim();
  const form = formOf(text);
  if (form === "json") return { jwks: text, notes: [] };
  if (form === "empty" || form === "address") return { problem: "There are no keys yet." };
  try {
    const keys = form === "pem" ? ofPem(text) : [ofSecret(text, encoding)];
    const named = keys.length === 1 ? hint : { alg: hint.alg };
    const what = form === "pem" ? "A PEM key" : "A secret";
    const names = Object.entries(named).flatMap(([name, value]) => (value ? [`${name} ${value}`] : []));
    const notes = names.length === 0 ? []
      : [`${what} names no alg and no kid; the token's are taken: ${names.join(", ")}.`];
    return { jwks: JSON.stringify({ keys: keys.map((key) => ({ ...key, ...named })) }), notes };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

/** The form of the pasted text; any other text is a secret. */
export function formOf(pasted: string): "address" | "empty" | "json" | "pem" | "secret" {
  const text = pasted.trim();
  if (text === "") return "empty";
  if (/^https?:\/\/\S+$/i.test(text)) return "address";
  if (/^[{[]/.test(text)) return "json";
  return text.includes("-----BEGIN") ? "pem" : "secret";
}

/** Whether a private key was pasted: its owner must replace it, even if the package ignores it. */
export function hasPrivateKey(pasted: string): boolean {
  if (PRIVATE_PEM.test(pasted)) return true;
  if (formOf(pasted) !== "json") return false;
  try {
    const value = JSON.parse(pasted);
    const keys: unknown[] = Array.isArray(value?.keys) ? value.keys : [value];
    return keys.some((key) => isRecord(key) && key["kty"] !== "oct" && "d" in key);
  } catch {
    return false;
  }
}

function ofSecret(text: string, encoding: SecretEncoding): Jwk {
  if (/^ssh-|^ecdsa-sha2/.test(text)) {
    throw new Error("This is an SSH key: export it as PEM first.");
  }
  if (encoding === "text") {
    return { kty: "oct", k: encodeBase64Url(new TextEncoder().encode(text)) };
  }
  const { bytes, flaws } = decodeBase64Url(text);
  const [flaw] = flaws.filter(({ isHarmless }) => !isHarmless);
  if (flaw !== undefined) throw new Error(`The secret is not base64url: ${flaw.reason}.`);
  return { kty: "oct", k: encodeBase64Url(bytes) };
}

function ofPem(text: string): Jwk[] {
  if (PRIVATE_PEM.test(text)) throw new Error("A private key is not used.");
  const blocks = [...text.matchAll(PEM_BLOCK)];
  if (blocks.length === 0) throw new Error("The PEM is cut off: its END line is missing.");
  return blocks.map(([, label = "", body = ""]) => {
    const { bytes, flaws } = decodeBase64Url(body.replace(/\s+/g, ""));
    if (flaws.some(({ isHarmless }) => !isHarmless)) {
      throw new Error(`The PEM block “${label}” is not valid base64.`);
    }
    return jwkOfDer(label, bytes);
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const PRIVATE_PEM = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY/;
const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g;
