// Arithmetic on Ed25519's curve: for signatures that no library makes.

import { createHash, randomBytes } from "node:crypto";

/**
 * Signs `message` so that `[S]B = R + [k]A` holds for the scalar, even if A and R have other parts.
 *
 * @param {{ scalar: bigint, A: Uint8Array }} key
 * @param {string} message
 * @param {object} how
 * @param {Uint8Array} [how.R] an encoding of the neutral element, used instead of a fresh R
 * @param {(k: bigint) => boolean} [how.fits] whether the hash k is acceptable
 * @param {[bigint, bigint]} [how.torsion] A's part of small order, for which R compensates
 * @param {[bigint, bigint]} [how.added] a point that is added to R and makes it wrong
 * @param {Uint8Array} [how.prefix] hashed first, as in Ed25519ctx and Ed25519ph
 */
export function forge({ scalar, A }, message, how = {}) {
  const { R, fits = () => true, torsion, added = NEUTRAL, prefix = NOTHING } = how;
  // Reduced before any multiplication, also by a point of order 8.
  const kOf = (bytes) => fromBytes(hash(prefix, bytes, A, Buffer.from(message))) % ORDER;
  const sign = (bytes, r) => Buffer.concat([bytes, toBytes((r + kOf(bytes) * scalar) % ORDER)]);
  if (R) return sign(R, 0n);
  let r = fromBytes(randomBytes(31));
  for (let point = multiplyBase(r); ; point = addPoints(point, BASE), r += 1n) {
    const moved = addPoints(point, torsion ? multiply(torsion, r % 8n) : added);
    const bytes = compress(moved);
    const k = kOf(bytes);
    // R has to be [r]B - [k]T.
    if (fits(k) && (!torsion || (k + r) % 8n === 0n)) return sign(bytes, r);
  }
}

/** The secret scalar and the public key of a JWK with its private part (RFC 8032 section 5.1.5). */
export function secretOf({ d, x }) {
  const bytes = hash(Buffer.from(d, "base64url")).subarray(0, 32);
  bytes[0] &= 0xf8;
  bytes[31] = (bytes[31] & 0x7f) | 0x40;
  return { scalar: fromBytes(bytes), A: Buffer.from(x, "base64url") };
}

/** The encoding of a point. @param {[bigint, bigint]} point */
export function compress([x, y]) {
  const bytes = toBytes(y);
  bytes[31] |= Number(x & 1n) << 7;
  return bytes;
}

/** @param {bigint} scalar */
export const multiplyBase = (scalar) => multiply(BASE, scalar);

/** @param {[bigint, bigint]} a @param {[bigint, bigint]} b @returns {[bigint, bigint]} */
export function addPoints([x1, y1], [x2, y2]) {
  const product = (D * x1 * x2 * y1 * y2) % P;
  return [divide(x1 * y2 + x2 * y1, 1n + product), divide(y1 * y2 + x1 * x2, 1n - product)];
}

/** Little-endian, 32 bytes. @param {bigint} number */
export const toBytes = (number) =>
  Buffer.from(number.toString(16).padStart(64, "0"), "hex").reverse();

/** @param {Uint8Array} bytes little-endian */
export const fromBytes = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);

function multiply(point, scalar) {
  let product = NEUTRAL;
  for (const bit of scalar.toString(2)) {
    product = addPoints(product, product);
    if (bit === "1") product = addPoints(product, point);
  }
  return product;
}

const modulo = (number) => ((number % P) + P) % P;

const divide = (number, by) => modulo(number * power(modulo(by), P - 2n));

function power(base, exponent) {
  let product = 1n;
  for (const bit of exponent.toString(2)) {
    product = (product * product) % P;
    if (bit === "1") product = (product * base) % P;
  }
  return product;
}

/** The point of this y with an even x (RFC 8032 section 5.1.3). @returns {[bigint, bigint]} */
function pointOf(y) {
  const square = divide(y * y - 1n, D * y * y + 1n);
  let x = power(square, (P + 3n) / 8n);
  if ((x * x) % P !== square) x = (x * power(2n, (P - 1n) / 4n)) % P;
  if ((x * x) % P !== square) throw new Error("no such point");
  return [x & 1n ? P - x : x, y];
}

const hash = (...parts) => createHash("sha512").update(Buffer.concat(parts)).digest();

export const P = 2n ** 255n - 19n;
/** The order of the base point. */
export const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const NOTHING = new Uint8Array();
const D = divide(-121665n, 121666n);
/** @type {[bigint, bigint]} */
const NEUTRAL = [0n, 1n];
const BASE = pointOf(divide(4n, 5n));
/** A point of order 8, and its multiples from 0 up. */
const GENERATOR = pointOf(fromBytes(Buffer.from(
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "hex")));
export const TORSION = Array.from({ length: 8 }, (_, index) => multiply(GENERATOR, BigInt(index)));
