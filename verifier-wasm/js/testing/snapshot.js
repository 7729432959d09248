// Writes and signs snapshots as FORMAT.md describes them: the control plane's side, for tests.

import { blake3 } from "./blake3.js";
import { siphash } from "./siphash.js";

/**
 * @typedef {object} Content What one snapshot says; times are unix seconds.
 * @property {string} feed
 * @property {number} era
 * @property {number} from the seq after which the range begins; 0 for a base
 * @property {number} to the seq with which it ends
 * @property {Uint8Array} chainFrom
 * @property {Uint8Array} chainTo
 * @property {number} issuedAt
 * @property {number} validUntil
 * @property {Uint8Array} salt
 * @property {IssuerRules[]} issuers each once, in any order
 * @property {{ issuer: string, kid: string }[]} deadKeys
 * @property {bigint[]} denied fingerprints, in any order
 * @property {{ of: bigint, minimumVersion: number, notBefore: number }[]} cutoffs likewise
 *
 * @typedef {object} IssuerRules
 * @property {string} issuer
 * @property {number} [epoch]
 * @property {{ issuedFrom: number, seconds: number }[]} [horizons] ascending
 * @property {{ paths: string[], uses: number }[]} [selectors] each once, in any order; the paths ascending
 *
 * @typedef {object} FeedKey
 * @property {Uint8Array} publicKey
 * @property {(message: Uint8Array) => Promise<Uint8Array>} sign
 */

/** @param {Content} content @param {FeedKey[]} keys @returns {Promise<Uint8Array>} */
export async function signSnapshot(content, keys) {
  const body = bodyOf(content);
  const message = joined([PREFIX, blake3(body)]);
  const signatures = keys.map(async ({ publicKey, sign }) =>
    joined([blake3(publicKey).subarray(0, 8), await sign(message)]));
  return joined([MAGIC, [VERSION, keys.length], ...(await Promise.all(signatures)), body]);
}

/**
 * @param {Uint8Array} salt @param {string} issuer
 * @param {Record<string, import("./testing.d.ts").ClaimValue>} claims by their paths
 */
export function fingerprint(salt, issuer, claims) {
  const paths = Object.keys(claims).sort(byBytes);
  return siphash(salt, joined([
    counted(issuer),
    ...paths.flatMap((path) => [utf8("p"), counted(path)]),
    ...paths.map((path) => valueOf(claims[path])),
  ]));
}

/** A value as part of a fingerprint: the type matters. @param {import("./testing.d.ts").ClaimValue} value */
function valueOf(value) {
  if (typeof value === "string") return joined([utf8("s"), counted(value)]);
  if (typeof value === "boolean") return joined([utf8("b"), [Number(value)]]);
  const number = new DataView(new ArrayBuffer(16));
  number.setBigUint64(0, BigInt.asUintN(64, BigInt(value)), true);
  number.setBigUint64(8, BigInt.asUintN(64, BigInt(value) >> 64n), true);
  return joined([utf8("i"), new Uint8Array(number.buffer)]);
}

/** A text after its length. @param {string} value */
function counted(value) {
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(utf8(value).length), true);
  return joined([length, utf8(value)]);
}

/** @param {Content} content */
function bodyOf(content) {
  const denied = ascending([...new Set(content.denied)], (number) => number);
  const cutoffs = ascending(content.cutoffs, (cutoff) => cutoff.of);
  const versions = column(cutoffs.map(({ minimumVersion }) => BigInt(minimumVersion)));
  const notBefores = column(cutoffs.map(({ notBefore }) => BigInt(notBefore)));
  const issuers = withBareNames(content);
  const placeOf = (/** @type {string} */ name) => issuers.findIndex(({ issuer }) => issuer === name);
  return joined([
    text(content.feed), varint(content.era), varint(content.from), varint(content.to),
    content.chainFrom, content.chainTo, varint(content.issuedAt), varint(content.validUntil),
    content.salt, list(issuers, rulesOf),
    list(content.deadKeys, ({ issuer, kid }) => joined([varint(placeOf(issuer)), text(kid)])),
    varint(denied.length), varint(cutoffs.length),
    varint(versions.base), [Number(versions.width)],
    varint(notBefores.base), [Number(notBefores.width)],
    sortedSet(denied), sortedSet(cutoffs.map((cutoff) => cutoff.of)), versions.packed, notBefores.packed,
  ]);
}

/** The rules, and the bare name of an issuer that only has a dead key. @param {Content} content */
function withBareNames({ issuers, deadKeys }) {
  const all = new Map([...deadKeys, ...issuers].map((rules) => [rules.issuer, rules]));
  return [...all.keys()].sort(byBytes).map((issuer) =>
    issuers.find((rules) => rules.issuer === issuer) ?? { issuer });
}

/** @param {IssuerRules} rules */
const rulesOf = ({ issuer, epoch = 0, horizons = [], selectors = [] }) => joined([
  text(issuer), varint(epoch),
  list(horizons, ({ issuedFrom, seconds }) => joined([varint(issuedFrom), varint(seconds)])),
  list([...selectors].sort((a, b) => inOrder(a.paths, b.paths)), ({ paths, uses }) =>
    joined([list(paths, text), [uses]])),
]);

/** The order of two lists of paths: the first different path decides. @param {string[]} a @param {string[]} b */
function inOrder(a, b) {
  const at = a.findIndex((path, place) => path !== b[place]);
  if (at === -1) return a.length - b.length;
  return b[at] === undefined ? 1 : byBytes(a[at], b[at]);
}

/** The order of two texts by their UTF-8; JavaScript compares UTF-16. @param {string} a @param {string} b */
export function byBytes(a, b) {
  const [one, other] = [utf8(a), utf8(b)];
  const at = one.findIndex((byte, place) => byte !== other[place]);
  return at === -1 ? one.length - other.length : other[at] === undefined ? 1 : one[at] - other[at];
}

/** Numbers less the smallest one, in as many bits as the largest needs. @param {bigint[]} numbers */
function column(numbers) {
  const [base = 0n, ...others] = ascending(numbers, (number) => number);
  const width = bitsOf((others.at(-1) ?? base) - base);
  return { base, width, packed: packed(numbers.map((number) => number - base), width) };
}

/** Elias-Fano: the low bits packed, the high bits as a bitmap. @param {bigint[]} numbers ascending */
function sortedSet(numbers) {
  const count = BigInt(numbers.length);
  if (count === 0n) return new Uint8Array();
  const width = 64n - bitsOf(count) > 63n ? 63n : 64n - bitsOf(count);
  let bitmap = 0n;
  numbers.forEach((number, rank) => (bitmap |= 1n << ((number >> width) + BigInt(rank))));
  const low = packed(numbers.map((number) => BigInt.asUintN(Number(width), number)), width);
  return joined([low, wordsOf(bitmap, count + (1n << (64n - width)))]);
}

/** Numbers of `width` bits without gaps, from bit 0 upwards. @param {bigint[]} numbers @param {bigint} width */
function packed(numbers, width) {
  const all = numbers.reduce((sum, number, at) => sum | (number << (width * BigInt(at))), 0n);
  return wordsOf(all, width * BigInt(numbers.length));
}

/** Bits as whole 64-bit words, little-endian. @param {bigint} bits @param {bigint} count */
function wordsOf(bits, count) {
  const view = new DataView(new ArrayBuffer(8 * Number((count + 63n) / 64n)));
  for (let at = 0; at < view.byteLength; at += 8) {
    view.setBigUint64(at, BigInt.asUintN(64, bits >> BigInt(8 * at)), true);
  }
  return new Uint8Array(view.buffer);
}

/** How many bits it takes to write a number; none for zero. @param {bigint} number */
const bitsOf = (number) => (number === 0n ? 0n : BigInt(number.toString(2).length));

/** @template T @param {T[]} items @param {(item: T) => bigint} by @returns {T[]} */
const ascending = (items, by) => [...items].sort((a, b) => (by(a) < by(b) ? -1 : Number(by(a) > by(b))));

/** A number as postcard writes it: seven bits a byte, the lowest first. @param {number | bigint} number */
function varint(number) {
  const bytes = [];
  let left = BigInt(number);
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
  return [...bytes, Number(left)];
}

/** A list as postcard writes it. @template T @param {T[]} items @param {(item: T) => ArrayLike<number>} write */
const list = (items, write) => joined([varint(items.length), ...items.map(write)]);

/** @param {string} value */
const text = (value) => joined([varint(utf8(value).length), utf8(value)]);

/** @param {string} value */
const utf8 = (value) => new TextEncoder().encode(value);

/** @param {ArrayLike<number>[]} parts */
function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const MAGIC = utf8("OFSW");
const VERSION = 2;
/** How the revocations of a selector are looked up (FORMAT.md): single ones, or cut-offs, and the name of a
 * matching token's revocation. */
export const USES = { jti: 5, sid: 9, sub: 18, exact: 1, cutoff: 2 };
const PREFIX = utf8("\0offswitch snapshot v2\0");
