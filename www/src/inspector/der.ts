// Public keys in PEM (RFC 7468): the DER is read as far as a JWK needs it.

import { encodeBase64Url } from "./base64url";

export type Jwk = Record<string, unknown>;

/** The public key in one PEM block of that label, as a JWK without `alg` and `kid`. */
export function jwkOfDer(label: string, der: Uint8Array): Jwk {
  const outer = only(der);
  if (label === "RSA PUBLIC KEY") return rsa(outer);
  if (label === "PUBLIC KEY") return ofSpki(outer);
  if (label === "CERTIFICATE") return ofSpki(spkiOf(outer));
  throw new Error(`a PEM block “${label}” has no public key that this page can read`);
}

interface Element {
  tag: number;
  body: Uint8Array;
}

/** A TBSCertificate's SubjectPublicKeyInfo (RFC 5280 section 4.1): the sixth after the version. */
function spkiOf(certificate: Element): Element {
  const fields = children(at(children(certificate), 0));
  const hasVersion = fields[0]?.tag === CONTEXT_0;
  return at(fields, hasVersion ? 6 : 5);
}

function ofSpki(spki: Element): Jwk {
  const [algorithm, key] = [at(children(spki), 0), at(children(spki), 1)];
  const [oid, parameters] = children(algorithm);
  if (oid === undefined) throw new Error(BROKEN);
  // The first byte of a BIT STRING counts its unused bits.
  const bits = key.body.subarray(1);
  const name = hex(oid.body);
  if (name === RSA_OID || name === PSS_OID) return rsa(only(bits));
  if (name === ED25519_OID) return { kty: "OKP", crv: "Ed25519", x: encodeBase64Url(bits) };
  if (name === EC_OID) return ec(hex(parameters?.body ?? new Uint8Array()), bits);
  throw new Error("this page cannot read this kind of key from PEM; paste it as a JWK");
}

function ec(curve: string, point: Uint8Array): Jwk {
  const crv = CURVES[curve];
  if (crv === undefined) {
    throw new Error("this page cannot read this curve from PEM; paste the key as a JWK");
  }
  if (point[0] !== 4) throw new Error("this page cannot read compressed points; paste the key as a JWK");
  const half = (point.length - 1) / 2;
  return {
    kty: "EC",
    crv,
    x: encodeBase64Url(point.subarray(1, 1 + half)),
    y: encodeBase64Url(point.subarray(1 + half)),
  };
}

function rsa(sequence: Element): Jwk {
  const [n, e] = [at(children(sequence), 0), at(children(sequence), 1)];
  return { kty: "RSA", n: encodeBase64Url(unsigned(n.body)), e: encodeBase64Url(unsigned(e.body)) };
}

/** An INTEGER without the zero that keeps it positive. */
function unsigned(integer: Uint8Array): Uint8Array {
  const from = integer.findIndex((byte) => byte !== 0);
  return integer.subarray(Math.max(from, 0));
}

function only(der: Uint8Array): Element {
  const all = elements(der);
  if (all.length !== 1) throw new Error(BROKEN);
  return at(all, 0);
}

function children({ tag, body }: Element): Element[] {
  if ((tag & CONSTRUCTED) === 0) throw new Error(BROKEN);
  return elements(body);
}

function elements(der: Uint8Array): Element[] {
  const found: Element[] = [];
  let offset = 0;
  while (offset < der.length) {
    const tag = der[offset] ?? 0;
    let length = der[offset + 1] ?? 0;
    let start = offset + 2;
    if (length > 0x80) {
      const bytes = length - 0x80;
      if (bytes > 3) throw new Error(BROKEN);
      length = der.subarray(start, start + bytes).reduce((sum, byte) => sum * 256 + byte, 0);
      start += bytes;
    }
    if (start + length > der.length) throw new Error("the PEM is cut off");
    found.push({ tag, body: der.subarray(start, start + length) });
    offset = start + length;
  }
  return found;
}

function at(all: Element[], index: number): Element {
  const one = all[index];
  if (one === undefined) throw new Error(BROKEN);
  return one;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const BROKEN = "the PEM does not contain what its label says";
const CONSTRUCTED = 0x20;
const CONTEXT_0 = 0xa0;
const RSA_OID = "2a864886f70d010101";
const PSS_OID = "2a864886f70d01010a";
const EC_OID = "2a8648ce3d0201";
const ED25519_OID = "2b6570";
const CURVES: Record<string, string> = {
  "2a8648ce3d030107": "P-256",
  "2b81040022": "P-384",
  "2b81040023": "P-521",
  "2b8104000a": "secp256k1",
};
