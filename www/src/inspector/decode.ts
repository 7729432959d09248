// Takes a token apart without trusting it. If a part is broken, the rest is still read, and each
// flaw has a reason. Nothing here checks a signature.

import { decodeBase64Url, type Flaw } from "./base64url";
import { count, sizeBytes } from "../shared/format";
import { readJson, type Json, type JsonObject, type JsonReading } from "./json";
import { findToken, type Place } from "./paste";

export interface Decoded {
  form: "empty" | "jwe" | "jws" | "opaque";
  /** The token without the text around it. */
  token: string;
  /** Where the token is in the pasted text. */
  place: Place;
  /** Which parts of the pasted text were ignored. */
  ignored: string[];
  segments: Segment[];
  /** What is wrong with the token as a whole. */
  flaws: Flaw[];
  header?: JsonObject;
  claims?: JsonObject;
}

export interface Segment {
  name: SegmentName;
  text: string;
  flaws: Flaw[];
  sizeBytes: number;
  /** The text of the bytes, in segments that are JSON. */
  json?: { raw: string; reading: JsonReading };
}

export type SegmentName = "header" | "payload" | "signature" | "surplus"
  | "encrypted key" | "initialization vector" | "ciphertext" | "authentication tag";

export function decode(pasted: string): Decoded {
  const nothing = { ...findToken(pasted), segments: [], flaws: [] };
  const { token } = nothing;
  if (token === "") return { ...nothing, form: "empty" };
  if (token.length > MAX_CHARACTERS) {
    const reason = `longer than ${count(MAX_CHARACTERS)} characters: not decoded`;
    return { ...nothing, form: "opaque", flaws: [{ reason }] };
  }
  const texts = token.split(".");
  if (texts.length === 1 && isOpaque(token)) {
    return { ...nothing, form: "opaque", flaws: [{ reason: opaqueReason(token) }] };
  }
  const form = texts.length === 5 ? "jwe" : "jws";
  const names = form === "jwe" ? JWE_SEGMENTS : JWS_SEGMENTS;
  const segments = texts.slice(0, MAX_SEGMENTS).map(
    (text, at) => segmentOf(names[at] ?? "surplus", text),
  );
  return {
    ...nothing,
    form,
    segments,
    flaws: flawsOfCount(texts.length),
    header: objectOf(segments[0]),
    claims: form === "jws" ? objectOf(segments[1]) : undefined,
  };
}

/** Every flaw of a token, with the segment it is in. */
export function allFlaws({ segments, flaws }: Decoded): Array<Flaw & { segment?: SegmentName }> {
  const inSegments = segments.flatMap(({ name, flaws: own }) =>
    own.map((flaw) => ({ ...flaw, segment: name })));
  return [...flaws, ...inSegments];
}

function segmentOf(name: SegmentName, text: string): Segment {
  const { bytes, flaws } = decodeBase64Url(text);
  const own: Segment = { name, text, flaws, sizeBytes: bytes.length };
  if (text === "") {
    const reason = EMPTY[name];
    if (reason !== undefined) flaws.push({ reason });
    return own;
  }
  if (name !== "header" && name !== "payload") return own;
  const { raw, badByte } = utf8(bytes);
  const reading = readJson(raw);
  own.json = { raw, reading };
  flaws.push(...flawsOfText(own.json, badByte, flaws.length === 0 ? text.length : undefined));
  return own;
}

/** `length` is that of the segment, if its characters correspond to its bytes. */
function flawsOfText(
  { raw, reading }: NonNullable<Segment["json"]>,
  badByte: number | undefined,
  length: number | undefined,
): Flaw[] {
  const place = (byte: number) =>
    length === undefined ? undefined : Math.min(Math.floor((byte * 4) / 3), length - 1);
  const flaws: Flaw[] = [];
  if (badByte !== undefined) {
    flaws.push({ reason: `not UTF-8 at byte ${badByte}`, at: place(badByte) });
  }
  if (reading.error !== undefined) {
    const { at, reason } = reading.error;
    const byte = sizeBytes(raw.slice(0, at));
    const where = `at character ${at} of the decoded text`;
    flaws.push({ reason: `not JSON: ${where}, ${reason}`, at: place(byte) });
  } else if (reading.value?.kind !== "object") {
    flaws.push({ reason: `JSON, but ${kindOf(reading.value)} instead of an object` });
  }
  return flaws;
}

/** The text of the bytes, and the first byte that is not UTF-8. */
function utf8(bytes: Uint8Array): { raw: string; badByte?: number } {
  const raw = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let [from, byte] = [0, 0];
  for (let at = raw.indexOf("\ufffd"); at >= 0; at = raw.indexOf("\ufffd", at + 1)) {
    byte += sizeBytes(raw.slice(from, at));
    from = at;
    const isMeant = bytes[byte] === 0xef && bytes[byte + 1] === 0xbf && bytes[byte + 2] === 0xbd;
    if (!isMeant) return { raw, badByte: byte };
  }
  return { raw };
}

function objectOf(segment: Segment | undefined): JsonObject | undefined {
  const value = segment?.json?.reading.value;
  return value?.kind === "object" ? value : undefined;
}

function kindOf(json: Json | undefined): string {
  if (json === undefined) return "nothing";
  return json.kind === "array" ? "an array" : `a ${json.kind}`;
}

function flawsOfCount(count: number): Flaw[] {
  if (count === 3) return [];
  if (count === 5) {
    return [{ reason: "five segments: an encrypted token (JWE). Only its header can be read" }];
  }
  if (count < 3) {
    const missing = count === 1 ? "payload and signature are missing" : "the signature is missing";
    return [{ reason: `${count} of 3 segments: ${missing}` }];
  }
  return [{ reason: `${count} segments instead of 3: everything after the third is surplus` }];
}

function isOpaque(token: string): boolean {
  return !token.startsWith("ey");
}

function opaqueReason(token: string): string {
  if (token.startsWith("osr_")) return "a refresh token of Offswitch: it has nothing to decode";
  if (token.startsWith("osk_")) return "an API key of Offswitch, not a token: show it to no one";
  return "no dots and no header: an opaque token, or only a part of one";
}

const JWS_SEGMENTS: SegmentName[] = ["header", "payload", "signature"];
const JWE_SEGMENTS: SegmentName[] =
  ["header", "encrypted key", "initialization vector", "ciphertext", "authentication tag"];
const EMPTY: Partial<Record<SegmentName, string>> = {
  header: "empty",
  payload: "empty: the payload is detached (RFC 7515 appendix F) or lost",
  signature: "empty: the token is not signed",
};
const MAX_CHARACTERS = 2_000_000;
const MAX_SEGMENTS = 12;
