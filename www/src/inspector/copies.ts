// A token as text for other tools.

import type { Decoded } from "./decode";
import { formatJson, textMember, member } from "./json";
import type { Judgement } from "./verification";

/** A request with the token, for a POSIX shell. */
export function asCurl(token: string, url: string): string {
  return `curl ${quoted(url)} -H ${quoted(`Authorization: Bearer ${token}`)}`;
}

/** The audience if that is an address, else an example. */
export function apiUrlOf({ claims }: Decoded): string {
  const aud = member(claims, "aud");
  const first = aud?.kind === "array" ? aud.items[0] : aud;
  const isUrl = first?.kind === "string" && /^https?:\/\//.test(first.value);
  return isUrl ? first.value : "https://api.example/";
}

export function asJson({ header, claims }: Decoded): string {
  const members = [["header", header], ["claims", claims]] as const;
  const texts = members.flatMap(([name, value]) =>
    value === undefined ? [] : [`  "${name}": ${formatJson(value, "  ")}`]);
  return `{\n${texts.join(",\n")}\n}`;
}

/** A case for a verifier's tests; without a judgement it names no expected verdict. */
export function asTestVector(decoded: Decoded, keys: unknown, judgement?: Judgement): string {
  const expected = judgement && {
    outcome: judgement.verdict.outcome,
    code: judgement.verdict.code,
  };
  const rest = JSON.stringify({
    kid: textMember(decoded.header, "kid"),
    keys: keys ?? null,
    expected: expected ?? null,
    now: judgement?.atSeconds ?? Math.floor(Date.now() / 1000),
  }, null, 2);
  const own = asJson(decoded).slice(2, -2);
  return `{\n  "token": ${JSON.stringify(decoded.token)},\n${own}${own && ","}\n${rest.slice(2)}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
