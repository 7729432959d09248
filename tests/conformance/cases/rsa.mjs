// RSA signatures with right numbers and wrong padding: each block is raised to the private
// exponent, so that only the padding differs.

import { constants, createHash, privateEncrypt, randomBytes } from "node:crypto";
import { refused, valid } from "./expected.mjs";
import { base64url, inputOf, signature } from "./keys.mjs";

export function rsaCases(_, keys) {
  const large = (kid) => keys.others.find((key) => key.kid === kid);
  return [
    ...["RS256", "RS384", "RS512"].flatMap((alg) =>
      [...pkcs1(alg, keys[alg]), ...numbers(alg, keys[alg])]),
    ...["PS256", "PS384", "PS512"].flatMap((alg) =>
      [...pss(alg, keys[alg]), ...numbers(alg, keys[alg])]),
    ...["pss-3072", "pss-2049", "pss-2050"].flatMap((kid) => [
      ...pss("other sizes", large(kid)), ...numbers("other sizes", large(kid)),
    ]),
    ...["rsa-3072", "rsa-2049"].flatMap((kid) => [
      ...pkcs1("other sizes", large(kid)), ...numbers("other sizes", large(kid)),
    ]),
    cubeRoot(large("rsa-3072")),
  ];
}

const bad = (verifier, key, input, name, bytes, more) =>
  refused("bad_signature", verifier, `${key.kid}: ${name}`, `${input}.${base64url(bytes)}`, more);

// X08, after Bleichenbacher: blocks that pass a reader which searches the block instead of building it.
function pkcs1(verifier, key) {
  const input = inputOf(key);
  const name = `sha${key.alg.slice(2)}`;
  const digest = createHash(name).update(input).digest();
  const info = Buffer.concat([DIGEST_INFO[name], digest]);
  const withoutNull = Buffer.concat([info.subarray(0, 15), info.subarray(17)]);
  // The two lengths that included the NULL.
  withoutNull[1] -= 2;
  withoutNull[3] -= 2;
  const longForm = Buffer.concat([info.subarray(0, 1), Buffer.from([0x81]), info.subarray(1)]);
  const other = Buffer.concat([DIGEST_INFO[name === "sha256" ? "sha512" : "sha256"], digest]);
  const size = sizeOf(key);
  const block = (ones, { filler = 0xff, kind = 1, separator = 0, ending = info } = {}) => {
    const bytes = Buffer.alloc(size);
    bytes.set([0, kind]);
    bytes.fill(filler, 2, 2 + ones);
    bytes[2 + ones] = separator;
    bytes.set(ending, 3 + ones);
    return bytes;
  };
  const whole = (ending) => size - 3 - ending.length;
  const right = raise(key, block(whole(info)));
  const wrong = {
    "8 ones and then nothing": block(8), "no ones": block(0),
    "one byte to the left": block(whole(info) - 1),
    "zeros for ones": block(whole(info), { filler: 0 }),
    "0xfe for ones": block(whole(info), { filler: 0xfe }),
    "block type 2": block(whole(info), { kind: 2 }),
    "block type 0": block(whole(info), { kind: 0 }),
    "no separator": block(whole(info), { separator: 1 }),
    "ones to the end of it": block(whole(info), { separator: 0xff }),
    "no NULL": block(whole(withoutNull), { ending: withoutNull }),
    "a length in long form": block(whole(longForm), { ending: longForm }),
    "the digest alone": block(whole(digest), { ending: digest }),
    "another hash's name": block(whole(other), { ending: other }),
  };
  return [
    valid(verifier, `${key.kid}: the padding that is right`, `${input}.${base64url(right)}`),
    ...Object.entries(wrong).map(([what, bytes]) =>
      bad(verifier, key, input, what, raise(key, bytes))),
  ];
}

// V15: the salt is as long as the hash, the mask uses the same hash, and every other bit is fixed.
function pss(verifier, key) {
  const input = inputOf(key);
  const bytes = Number(key.alg.slice(2)) / 8;
  const salted = (saltLength) => signature(key, input, { saltLength });
  const made = (how) => raise(key, emsaPss(key, input, { salt: randomBytes(bytes), ...how }));
  const longest = Math.ceil((bitsOf(key) - 1) / 8) - 2 - bytes;
  const salts = [0, 1, 20, bytes - 1, bytes + 1, 2 * bytes, longest]
    .map((length) => bad(verifier, key, input, `a salt of ${length} bytes`, salted(length)));
  return [
    valid(verifier, `${key.kid}: the salt that is right`, `${input}.${base64url(salted(bytes))}`),
    valid(verifier, `${key.kid}: a block of our own`, `${input}.${base64url(made({}))}`),
    ...salts,
    bad(verifier, key, input, "a mask of SHA-1", made({ mask: "sha1" })),
    bad(verifier, key, input, "a mask of another hash",
      made({ mask: bytes === 32 ? "sha512" : "sha256" })),
    bad(verifier, key, input, "another hash", made({ hash: bytes === 32 ? "sha512" : "sha256" })),
    bad(verifier, key, input, "another trailer", made({ trailer: 0xcc })),
    bad(verifier, key, input, "a separator of 2", made({ separator: 2 })),
    bad(verifier, key, input, "a one among the zeros", made({ zero: 1 })),
    bad(verifier, key, input, "PKCS #1 v1.5",
      signature({ ...key, alg: key.alg.replace("PS", "RS") }, input)),
    bad(verifier, key, input, "a bit above the encoded message",
      raise(key, withBitAbove(key, input, bytes))),
  ];
}

// Signatures that are not a number below the modulus, or do not have its length.
function numbers(verifier, key) {
  const modulus = modulusOf(key);
  const input = inputOf(key);
  const good = signature(key, input);
  const size = good.length;
  const cases = {
    "zero": Buffer.alloc(size),
    "one": bytesOf(1n, size),
    "the modulus": bytesOf(modulus, size),
    "one less than the modulus": bytesOf(modulus - 1n, size),
    "all ones": Buffer.alloc(size, 0xff),
    "the negative": bytesOf(modulus - numberOf(good), size),
    "a zero in front": Buffer.concat([Buffer.alloc(1), good]),
    "a zero behind": Buffer.concat([good, Buffer.alloc(1)]),
    "without the last byte": good.subarray(0, -1),
    "nothing": Buffer.alloc(0),
    "one byte": Buffer.alloc(1),
    "twice": Buffer.concat([good, good]),
    "of another message": signature(key, `${input}x`),
  };
  const fitting = (fits) => {
    for (let index = 0; ; index += 1) {
      const other = inputOf(key, { jti: `${index}` });
      const bytes = signature(key, other);
      if (fits(numberOf(bytes))) return [other, bytes];
    }
  };
  // The same number plus the modulus, in the same number of bytes: that fits for some messages.
  const room = 1n << BigInt(8 * size);
  const [wide, below] = fitting((number) => number + modulus < room);
  const [narrow, zeroFirst] = fitting((number) => number < room >> 8n);
  return [
    ...Object.entries(cases).map(([name, bytes]) => bad(verifier, key, input, name, bytes)),
    bad(verifier, key, wide, "plus the modulus", bytesOf(numberOf(below) + modulus, size)),
    bad(verifier, key, narrow, "a leading zero left out", zeroFirst.subarray(1),
      { jose: "a leading zero" }),
    valid(verifier, `${key.kid}: a leading zero`, `${narrow}.${base64url(zeroFirst)}`),
  ];
}

// X08: with e = 3, a cube root of a block that is right only at its beginning needs no private key.
function cubeRoot(key) {
  const input = inputOf(key);
  const digest = createHash("sha256").update(input).digest();
  const beginning = Buffer.concat([Buffer.from([0, 1]), Buffer.alloc(8, 0xff), Buffer.alloc(1),
    DIGEST_INFO.sha256, digest]);
  const size = sizeOf(key);
  const target = numberOf(Buffer.concat([beginning, Buffer.alloc(size - beginning.length, 0xff)]));
  let [low, high] = [0n, 1n << BigInt(size * 3)];
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (middle ** 3n <= target) low = middle;
    else high = middle;
  }
  if (!bytesOf(low ** 3n, size).subarray(0,
    beginning.length).equals(beginning)) throw new Error("no such root");
  return bad("other sizes", key, input, "a cube root", bytesOf(low, size));
}

/** EMSA-PSS-ENCODE (RFC 8017 section 9.1.1) with one step changed. */
function emsaPss(key, input, { salt, mask, trailer = 0xbc, separator = 1, zero = 0, hash }) {
  const name = hash ?? `sha${key.alg.slice(2)}`;
  const emBits = bitsOf(key) - 1;
  const emBytes = Math.ceil(emBits / 8);
  const digest = (algorithm, ...parts) =>
    createHash(algorithm).update(Buffer.concat(parts)).digest();
  const inner = digest(name, Buffer.alloc(8), digest(name, Buffer.from(input)), salt);
  const block = Buffer.alloc(emBytes - inner.length - 1);
  block[block.length - salt.length - 1] = separator;
  // Never the first byte, because some of its bits are cleared.
  if (zero) block[1] = zero;
  block.set(salt, block.length - salt.length);
  let stream = Buffer.alloc(0);
  for (let counter = 0; stream.length < block.length; counter += 1) {
    stream = Buffer.concat([stream, digest(mask ?? name, inner, Buffer.from([0, 0, 0, counter]))]);
  }
  block.forEach((byte, at) => void (block[at] = byte ^ stream[at]));
  block[0] &= 0xff >> (8 * emBytes - emBits);
  const encoded = Buffer.concat([block, inner, Buffer.from([trailer])]);
  return Buffer.concat([Buffer.alloc(sizeOf(key) - emBytes), encoded]);
}

/** A block with the modulus' own highest bit, which is below the modulus for some salts. */
function withBitAbove(key, input, saltBytes) {
  for (;;) {
    const block = emsaPss(key, input, { salt: randomBytes(saltBytes) });
    const above = numberOf(block) + (1n << BigInt(bitsOf(key) - 1));
    if (above < modulusOf(key)) return bytesOf(above, sizeOf(key));
  }
}

const raise = (key, block) =>
  privateEncrypt({ key: key.secret, padding: constants.RSA_NO_PADDING }, block);
const modulusOf = (key) => numberOf(Buffer.from(key.jwk.n, "base64url"));
const bitsOf = (key) => key.secret.asymmetricKeyDetails.modulusLength;
const sizeOf = (key) => Math.ceil(bitsOf(key) / 8);
const numberOf = (bytes) => BigInt(`0x${bytes.toString("hex") || "0"}`);
const bytesOf = (number, size) => Buffer.from(number.toString(16).padStart(2 * size, "0"), "hex");

/** RFC 8017 section 9.2, note 1. */
const DIGEST_INFO = {
  sha256: Buffer.from("3031300d060960864801650304020105000420", "hex"),
  sha384: Buffer.from("3041300d060960864801650304020205000430", "hex"),
  sha512: Buffer.from("3051300d060960864801650304020305000440", "hex"),
};
