// Signatures by WebCrypto. HMAC is not among them: wasm is faster than the way to another thread.

import { publicPart } from "./host.js";

/** @type {import("./host.js").KeyImporter} */
export async function webCrypto(jwk) {
  const parameters = /** @type {any} */ (parametersOf(jwk));
  const { subtle } = globalThis.crypto;
  const key = await subtle.importKey("jwk", publicPart(jwk), parameters, false, ["verify"]);
  // Copies, because the check is asynchronous, and another token may be in the same memory by then. WebCrypto
  // has to copy too; a host that does not would accept a forgery.
  return (signature, signed) => subtle.verify(parameters, key, signature.slice(), signed.slice());
}

/** WebCrypto's name of a key's algorithm, for import and verification; it reads the members that it needs. */
function parametersOf(/** @type {JsonWebKey} */ { alg = "", crv }) {
  const bits = alg.slice(2);
  return { hash: `SHA-${bits}`, saltLength: Number(bits) / 8, namedCurve: crv, ...FAMILIES[alg.slice(0, 2)] };
}

/** @type {Record<string, { name: string }>} */
const FAMILIES = {
  ES: { name: "ECDSA" },
  Ed: { name: "Ed25519" },
  PS: { name: "RSA-PSS" },
  RS: { name: "RSASSA-PKCS1-v1_5" },
};
