// BLAKE3, the hash: https://github.com/BLAKE3-team/BLAKE3-specs section 2. Small rather than fast: it hashes
// snapshots with a test's few revocations. The verifier in wasm has its own.

/** @param {Uint8Array} bytes @returns {Uint8Array} 32 bytes */
export function blake3(bytes) {
  return littleEndian(subtree(bytes, 0, ROOT));
}

/**
 * The chaining value of the chunks from number `index` on.
 *
 * @param {Uint8Array} bytes @param {number} index @param {number} root ROOT at the top of the tree
 * @returns {Uint32Array}
 */
function subtree(bytes, index, root) {
  if (bytes.length <= CHUNK_BYTES) return chunk(bytes, index, root);
  // The left side is the largest power of two of chunks that leaves at least one for the right side.
  const chunks = 2 ** Math.floor(Math.log2(Math.ceil(bytes.length / CHUNK_BYTES) - 1));
  const split = chunks * CHUNK_BYTES;
  const block = new Uint32Array(16);
  block.set(subtree(bytes.subarray(0, split), index, 0));
  block.set(subtree(bytes.subarray(split), index + chunks, 0), 8);
  return compress(IV, block, 0, BLOCK_BYTES, PARENT | root);
}

/** @param {Uint8Array} bytes @param {number} index @param {number} root */
function chunk(bytes, index, root) {
  let value = IV;
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK_BYTES));
  for (let at = 0; at < blocks; at += 1) {
    const part = bytes.subarray(at * BLOCK_BYTES, (at + 1) * BLOCK_BYTES);
    const isLast = at === blocks - 1;
    const flags = (at === 0 ? CHUNK_START : 0) | (isLast ? CHUNK_END | root : 0);
    value = compress(value, words(part), index, part.length, flags);
  }
  return value;
}

/** @param {Uint32Array} value @param {Uint32Array} block @param {number} counter @param {number} length @param {number} flags */
function compress(value, block, counter, length, flags) {
  const state = new Uint32Array(16);
  state.set(value);
  state.set(IV.subarray(0, 4), 8);
  state.set([counter, Math.floor(counter / 2 ** 32), length, flags], 12);
  let message = block;
  for (let round = 0; round < ROUNDS; round += 1) {
    QUARTERS.forEach(([a, b, c, d], at) => {
      mix(state, a, b, c, d, message[2 * at], 16, 12);
      mix(state, a, b, c, d, message[2 * at + 1], 8, 7);
    });
    message = Uint32Array.from(PERMUTATION, (from) => message[from]);
  }
  return state.subarray(0, 8).map((word, at) => word ^ state[at + 8]);
}

/** Half of the function G. @param {Uint32Array} v @param {number} a @param {number} b @param {number} c @param {number} d @param {number} word @param {number} first @param {number} second */
function mix(v, a, b, c, d, word, first, second) {
  v[a] += v[b] + word;
  v[d] = rotated(v[d] ^ v[a], first);
  v[c] += v[d];
  v[b] = rotated(v[b] ^ v[c], second);
}

/** @param {number} word @param {number} bits to the right */
const rotated = (word, bits) => (word >>> bits) | (word << (32 - bits));

/** @param {Uint8Array} part at most a block, which zeros fill up */
function words(part) {
  const view = new DataView(new ArrayBuffer(BLOCK_BYTES));
  part.forEach((byte, at) => view.setUint8(at, byte));
  return Uint32Array.from({ length: 16 }, (_, at) => view.getUint32(4 * at, true));
}

/** @param {Uint32Array} value */
function littleEndian(value) {
  const view = new DataView(new ArrayBuffer(4 * value.length));
  value.forEach((word, at) => view.setUint32(4 * at, word, true));
  return new Uint8Array(view.buffer);
}

const BLOCK_BYTES = 64;
const CHUNK_BYTES = 1024;
const ROUNDS = 7;
const [CHUNK_START, CHUNK_END, PARENT, ROOT] = [1, 2, 4, 8];
const IV = Uint32Array.of(
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
);
const PERMUTATION = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
/** Columns, then diagonals. */
const QUARTERS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];
