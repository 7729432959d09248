// Values that only look like signatures, and signatures that only look wrong.

import { createHash, createHmac, randomBytes } from "node:crypto";
import { SYMMETRIC } from "../algorithms.mjs";
import { ORDER, P, TORSION, compress, forge, fromBytes, secretOf, toBytes } from "./edwards.mjs";
import { refused, valid } from "./expected.mjs";
import { base64url, inputOf, segments, signature, token } from "./keys.mjs";

export function signatureCases(_, keys) {
  return [
    ...["ES256", "ES384", "ES512"].flatMap((alg) => ecdsa(keys[alg])),
    ...ed25519(keys.EdDSA),
    ...SYMMETRIC.flatMap((alg) => hmac(keys[alg])),
  ];
}

/** A case with a signature that must not be accepted as the key's. */
const bad = (key, input, name, bytes, more) =>
  refused("bad_signature", key.alg, `${key.alg}: ${name}`, `${input}.${base64url(bytes)}`, more);

function ecdsa(key) {
  const { alg } = key;
  const order = ORDERS[alg];
  const size = sizeOf(alg);
  const bytes = (value) => fixed(value, size);
  // X06, V15: a high S is valid JWS.
  const twins = Array.from({ length: 24 }, (_, index) => {
    const text = token(key, { jti: `twin ${index}` });
    return [valid(alg, `twin ${index}`, text), valid(alg, `other twin ${index}`, twin(text, alg))];
  }).flat();
  const input = inputOf(key);
  const good = signature(key, input);
  const [r, s] = [good.subarray(0, size), good.subarray(size)];
  // X05: psychic signatures, and numbers at the limits of their range.
  const largest = 2n ** BigInt(8 * size) - 1n;
  const borders = [0n, 1n, 2n, order - 1n, order, order + 1n, order + 2n, largest].map(bytes);
  const parts = [...borders, r, s];
  const pairs = parts.flatMap((left) => parts.map((right) => Buffer.concat([left, right])));
  const psychic = pairs
    .filter((pair) => !pair.equals(good))
    .map((pair, index) => bad(key, input, `borders ${index}`, pair));
  const lengths = [
    0, 1, 31, 32, 33, 47, 48, 49, 63, 64, 65, 66, 67, 70, 71, 72, 95, 96, 97, 127, 128, 131, 132,
    133, 192, 256, 264,
  ].filter((length) => length !== 2 * size)
    .map((length) => bad(key, input, `${length} bytes`, resized(good, length)));
  return [
    ...twins, ...psychic, ...lengths,
    bad(key, input, "DER", signature(key, input, { dsaEncoding: "der" })),
    bad(key, input, "r and s in front of each other", Buffer.concat([good, good])),
    bad(key, input, "-r", Buffer.concat([bytes(order - number(r)), s])),
    bad(key, input, "of another message", signature(key, `${input}x`)),
    refused("bad_signature", alg, `${alg}: no signature`, `${input}.`),
  ];
}

/** The same token with (r, n - s) for (r, s). */
export function twin(text, alg = "ES256") {
  const [header, payload, tail] = segments(text);
  const bytes = Buffer.from(tail, "base64url");
  const size = sizeOf(alg);
  const s = fixed(ORDERS[alg] - number(bytes.subarray(size)), size);
  return `${header}.${payload}.${base64url(Buffer.concat([bytes.subarray(0, size), s]))}`;
}

// X07, V15: cases in which implementations of Ed25519 are known to differ.
function ed25519(key) {
  const input = inputOf(key);
  const secret = secretOf(key.secret.export({ format: "jwk" }));
  const good = signature(key, input);
  const [R, S] = [good.subarray(0, 32), fromBytes(good.subarray(32))];
  const withS = (number) => Buffer.concat([R, toBytes(number)]);
  const larger = Array.from({ length: 15 }, (_, index) => S + BigInt(index + 1) * ORDER)
    .filter((number) => number < 2n ** 256n)
    .map((number, index) => bad(key, input, `S + ${index + 1} L`, withS(number)));
  const neutral = Buffer.from([1, ...new Uint8Array(31)]);
  const withSign = Buffer.from(neutral);
  withSign[31] = 0x80;
  const spellings = {
    neutral,
    "neutral with a sign": withSign,
    "neutral, not reduced": toBytes(P + 1n),
    "neutral, not reduced, with a sign": toBytes(P + 1n).fill(0xff, 31),
  };
  const small = Object.entries(spellings).map(([name, bytes]) =>
    bad(key, input, `R is ${name}`, forge(secret, input, { R: bytes }),
      // The key's owner made it, and OpenSSL checks only the equation.
      name === "neutral" ? { jose: "R of small order" } : {}));
  const orders = TORSION.flatMap((point, index) => [
    bad(key, input, `R of small order ${index}, S = 0`,
      Buffer.concat([compress(point), toBytes(0n)])),
  ]);
  const parts = TORSION.slice(1).map((added, index) =>
    bad(key, input, `R with a part of small order ${index}`, forge(secret, input, { added })));
  const bits = Array.from({ length: 64 }, (_, index) => {
    const flipped = Buffer.from(good);
    flipped[index] ^= 1 << (index % 8);
    return bad(key, input, `a bit of byte ${index}`, flipped);
  });
  const lengths = [0, 1, 31, 32, 33, 63, 65, 96, 128].map((length) =>
    bad(key, input, `${length} bytes`, resized(good, length)));
  const prehashed = createHash("sha512").update(input).digest();
  return [
    valid("EdDSA", "EdDSA: a signature of our own arithmetic",
      `${input}.${base64url(forge(secret, input))}`),
    ...larger, ...small, ...orders, ...parts, ...bits, ...lengths,
    bad(key, input, "Ed25519ph", forge(secret, prehashed, { prefix: prefix(1, "") })),
    bad(key, input, "Ed25519ctx", forge(secret, input, { prefix: prefix(0, "JWT") })),
    bad(key, input, "R and S the other way round", Buffer.concat([toBytes(S), R])),
    bad(key, input, "R in the other byte order",
      Buffer.concat([Buffer.from(R).reverse(), toBytes(S)])),
  ];
}

/** dom2 of RFC 8032 section 5.1. */
const prefix = (flag, context) => Buffer.concat([
  Buffer.from("SigEd25519 no Ed25519 collisions"),
  Buffer.from([flag, context.length]),
  Buffer.from(context),
]);

// V19: a tag that is cut or padded, or that another secret or hash made.
function hmac(key) {
  const input = inputOf(key);
  const tag = signature(key, input);
  const lengths = [0, 1, 8, 10, 16, 20, 24, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 128]
    .filter((length) => length !== tag.length)
    .map((length) => bad(key, input, `a tag of ${length} bytes`, resized(tag, length)));
  const flips = Array.from({ length: tag.length }, (_, at) => {
    const flipped = Buffer.from(tag);
    flipped[at] ^= 0x80;
    return bad(key, input, `a bit of byte ${at}`, flipped);
  });
  const long = createHmac("sha512", key.secret).update(input).digest().subarray(0, tag.length);
  return [
    ...lengths, ...flips,
    ...(key.alg === "HS512" ? [] : [bad(key, input, "SHA-512 cut to length", long)]),
    bad(key, input, "another secret", randomBytes(tag.length)),
    bad(key, input, "a tag over the payload alone", signature(key, segments(input)[1])),
    bad(key, input, "the plain hash", createHash(`sha${key.alg.slice(2)}`).update(input).digest()),
  ];
}

function resized(bytes, length) {
  const other = Buffer.alloc(length);
  bytes.copy(other);
  return other;
}

const number = (bytes) => BigInt(`0x${bytes.toString("hex")}`);
const fixed = (value, size) => Buffer.from(value.toString(16).padStart(2 * size, "0"), "hex");
const sizeOf = (alg) => Math.ceil(ORDERS[alg].toString(16).length / 2);
/** The orders of P-256, P-384 and P-521. */
const ORDERS = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES384: BigInt("0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf"
    + "581a0db248b0a77aecec196accc52973"),
  ES512: BigInt("0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    + "ffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409"),
};
