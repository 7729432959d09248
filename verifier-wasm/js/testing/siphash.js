// SipHash-2-4 (https://www.aumasson.jp/siphash/siphash.pdf section 2), with 64-bit integers.

/** @param {Uint8Array} key 16 bytes @param {Uint8Array} bytes @returns {bigint} */
export function siphash(key, bytes) {
  const [k0, k1] = [word(key, 0), word(key, 8)];
  const state = [k0 ^ INIT[0], k1 ^ INIT[1], k0 ^ INIT[2], k1 ^ INIT[3]];
  // The last word ends with the length, padded with zeros.
  const padded = new Uint8Array(8 * (Math.floor(bytes.length / 8) + 1));
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length & 255;
  for (let at = 0; at < padded.length; at += 8) {
    const next = word(padded, at);
    state[3] ^= next;
    rounds(state, 2);
    state[0] ^= next;
  }
  state[2] ^= 0xffn;
  rounds(state, 4);
  return state[0] ^ state[1] ^ state[2] ^ state[3];
}

/** @param {bigint[]} v @param {number} count */
function rounds(v, count) {
  for (let round = 0; round < count; round += 1) {
    half(v, 0, 1, 13n), half(v, 2, 3, 16n);
    v[0] = rotated(v[0], 32n);
    half(v, 2, 1, 17n), half(v, 0, 3, 21n);
    v[2] = rotated(v[2], 32n);
  }
}

/** @param {bigint[]} v @param {number} a @param {number} b @param {bigint} bits */
function half(v, a, b, bits) {
  v[a] = BigInt.asUintN(64, v[a] + v[b]);
  v[b] = rotated(v[b], bits) ^ v[a];
}

/** @param {bigint} value @param {bigint} bits to the left */
const rotated = (value, bits) => BigInt.asUintN(64, (value << bits) | (value >> (64n - bits)));

/** @param {Uint8Array} bytes @param {number} at */
const word = (bytes, at) => new DataView(bytes.buffer, bytes.byteOffset + at, 8).getBigUint64(0, true);

const INIT = [0x736f6d6570736575n, 0x646f72616e646f6dn, 0x6c7967656e657261n, 0x7465646279746573n];
