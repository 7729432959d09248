// A tolerant reader of base64url (RFC 4648 section 5): it reads what it can and reports what is wrong.

export interface Flaw {
  reason: string;
  /** Where in the segment, from 0; absent if it is the whole segment. */
  at?: number;
  /** The bytes are certain all the same: base64 with padding says the same in another alphabet. */
  isHarmless?: true;
}

export function decodeBase64Url(text: string): { bytes: Uint8Array; flaws: Flaw[] } {
  const unpadded = text.replace(/=+$/, "");
  const flaws = flawsOf(text, unpadded);
  const bytes = new Uint8Array(Math.floor((unpadded.length * 3) / 4));
  let [held, bits, length] = [0, 0, 0];
  for (let at = 0; at < unpadded.length; at += 1) {
    const value = VALUES[unpadded.charCodeAt(at)] ?? -1;
    if (value < 0) continue;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes[length] = (held >> bits) & 0xff;
    length += 1;
  }
  if (bits === 6) {
    const reason = "truncated: one character is left over, the last bytes are missing";
    flaws.push({ reason, at: unpadded.length - 1 });
  } else if ((held & ((1 << bits) - 1)) !== 0) {
    const reason = "the last character has bits that belong to no byte; strict readers refuse that";
    flaws.push({ reason, at: unpadded.length - 1 });
  }
  return { bytes: bytes.subarray(0, length), flaws };
}

export function encodeBase64Url(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

function flawsOf(text: string, unpadded: string): Flaw[] {
  const flaws: Flaw[] = [];
  const plain = unpadded.search(/[+/]/);
  if (plain >= 0) {
    const reason = `base64 instead of base64url: “${unpadded[plain]}” at offset ${plain}`;
    flaws.push({ reason, at: plain, isHarmless: true });
  }
  if (unpadded.length < text.length) {
    const reason = "padded with “=”, which a JWT never is";
    flaws.push({ reason, at: unpadded.length, isHarmless: true });
  }
  const illegal = [...unpadded.matchAll(/[^A-Za-z0-9_+/-]+/gu)];
  for (const { 0: run, index } of illegal.slice(0, MAX_FLAWS)) {
    flaws.push({ reason: `not base64url: ${named(run)} at offset ${index}`, at: index });
  }
  if (illegal.length > MAX_FLAWS) {
    flaws.push({ reason: `and ${illegal.length - MAX_FLAWS} more such places` });
  }
  return flaws;
}

function named(run: string): string {
  const point = run.codePointAt(0) ?? 0;
  const isPrintable = point > 0x20 && point < 0x7f;
  const code = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
  const more = run.length > 1 ? ` and ${run.length - 1} more` : "";
  return `${isPrintable ? `“${String.fromCodePoint(point)}”` : code}${more}`;
}

const VALUES: Record<number, number> = Object.fromEntries([
  ...[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].map(
    (character, value) => [character.charCodeAt(0), value],
  ),
  ["+".charCodeAt(0), 62],
  ["/".charCodeAt(0), 63],
]);
const MAX_FLAWS = 5;
