// The signature layers by themselves, for tests against outside vectors.

import * as wasm from "../pkg/offswitch.js";

/** The JWS layer alone: the payload if one of the keys signed `token`. @param {string} jwks @param {string} token */
export function verifyJws(jwks, token) {
  return wasm.verifyJws(encoder.encode(jwks), encoder.encode(token));
}

/**
 * The signature layer alone.
 *
 * @param {string} jwk @param {Uint8Array} message @param {Uint8Array} signature
 */
export function verifySignature(jwk, message, signature) {
  return wasm.verifySignature(encoder.encode(jwk), message, signature);
}

const encoder = new TextEncoder();
