// Single layers of the verifier: for tests with external vectors, and for pages that show users the problems of
// their keys.

import * as wasm from "../../pkg/offswitch.js";

/**
 * The keys of a JWK set that the verifier uses, and why it leaves out the others.
 *
 * @param {string} jwks @param {boolean} isFetched true for a set that an issuer published
 * @param {string[]} [algorithms] of the issuer; a key without alg uses one of them
 * @returns {import("../index.d.ts").KeySetReport}
 */
export function readKeySet(jwks, isFetched, algorithms = []) {
  const { keys = [], dropped = [], problem } = JSON.parse(
    wasm.readKeySet(encoder.encode(jwks), encoder.encode(algorithms.join(" ")), isFetched),
  );
  const indexes = keys.map((/** @type {[number, number, string]} */ [, index]) => index);
  return { keys: indexes, dropped, ...(problem !== undefined && { problem }) };
}

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
