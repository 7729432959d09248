// Signatures that the runtime's own cryptography checks instead of wasm. Each loader lists the algorithms for
// which that was measured to be faster (BENCHMARKS.md); the verdict is the same.

/**
 * @typedef {(signature: Uint8Array, signed: Uint8Array) => boolean | Promise<boolean>} HostKey
 *
 * @typedef {(jwk: JsonWebKey) => HostKey | Promise<HostKey>} KeyImporter
 *
 * @typedef {ReadonlyMap<string | undefined, KeyImporter>} Hosts By the algorithm of the keys they import.
 */

/** Entries of `Hosts`. @param {string} algs @param {KeyImporter} importer @returns {[string, KeyImporter][]} */
export function hosting(algs, importer) {
  return algs.split(" ").map((alg) => [alg, importer]);
}

/**
 * The key as a key of the host, or null: then wasm checks its signatures.
 *
 * @param {Hosts} hosts @param {JsonWebKey} jwk a key that wasm has accepted, with its algorithm
 * @returns {Promise<HostKey | null>}
 */
export async function importKey(hosts, jwk) {
  // BoringSSL (Bun) supports no exponent of more than 33 bits and reports every signature as wrong; other hosts
  // differ too. Wasm gives all of them the same verdict.
  if (jwk.e !== undefined && jwk.e.length > MAX_EXPONENT_CHARACTERS) return null;
  try {
    return (await hosts.get(jwk.alg)?.(jwk)) ?? null;
  } catch {
    return null; // an algorithm or a curve that this version of the runtime does not know
  }
}

/** The members that are the key itself; wasm has judged its other members. */
export function publicPart(/** @type {JsonWebKey} */ { crv, e, kty, n, x, y }) {
  return { crv, e, kty, n, x, y };
}

/** Base64url of four bytes. */
const MAX_EXPONENT_CHARACTERS = 6;
export const ECDSA = "ES256 ES384 ES512";
export const RSA = "PS256 PS384 PS512 RS256 RS384 RS512";
