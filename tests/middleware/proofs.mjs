// Requests with DPoP proofs, which the npm package `dpop` makes, and the answer that every framework must give.
// Like ask.mjs it runs in the same runtime as the server.

import { generateProof } from "dpop";
import { served, unauthorized } from "./cases.mjs";

const ALGS = "ES256 ES384 ES512 EdDSA Ed25519 PS256 PS384 PS512 RS256 RS384 RS512";
const refused = (code, error = "invalid_token") =>
  unauthorized(code, { challenge: `DPoP error="${error}", error_description="${code}", algs="${ALGS}"` });
const invalid = refused("invalid_dpop_proof", "invalid_dpop_proof");
const scopeless = {
  status: 403, code: "insufficient_scope", title: "Forbidden",
  challenge: 'DPoP error="insufficient_scope", scope="read"',
};

/**
 * By name: the path, the request, the answer. `proves` replaces the proof's subject: `path`, `origin`,
 * `method`, `token` (a name, or null for none) and `key`. `headers` makes the DPoP headers from the proof.
 */
export const PROOF_CASES = {
  "a token with a proof of its key is accepted": ["/plain", {}, served()],
  "the query is not part of a proof": ["/plain?a=b&c", {}, served()],
  "a proof matches the URL in any spelling": ["/plain", { proves: { path: "/%70lain?x" } }, served()],
  "the scheme DPoP may be in lower case": ["/plain", { scheme: "dpop" }, served()],
  "a proof of a POST matches a POST": ["/plain", { method: "POST", body: "the body" }, served("the body")],
  "a proof of a HEAD matches a HEAD": ["/plain", { method: "HEAD" }, { status: 200 }],
  "a proof of a GET does not match a HEAD": ["/plain", { method: "HEAD", proves: { method: "GET" } }, { ...invalid, code: undefined }],
  "a proof of another method is wrong": ["/plain", { proves: { method: "POST" } }, invalid],
  "a proof of another path is wrong": ["/plain", { proves: { path: "/read" } }, invalid],
  "a proof of another origin is wrong": ["/plain", { proves: { origin: "https://evil.example" } }, invalid],
  "a proof of another token is wrong": ["/plain", { proves: { token: "good" } }, invalid],
  "a proof of no token is wrong": ["/plain", { proves: { token: null } }, invalid],
  "a proof of another key is wrong": ["/plain", { proves: { key: "foreign" } }, invalid],
  "a proof is required": ["/plain", { headers: () => [] }, invalid],
  "two proofs are wrong": ["/plain", { headers: (proof) => [proof, proof] }, invalid],
  "a text that is no proof is wrong": ["/plain", { headers: () => ["nonsense"] }, invalid],
  "a bound token is no bearer token": ["/plain", { scheme: "Bearer" }, refused("sender_constrained")],
  "a bound token is no bearer token without its proof either":
    ["/plain", { scheme: "Bearer", headers: () => [] }, refused("sender_constrained")],
  "a token that is bound to no key cannot be proved": ["/plain", { token: "good" }, refused("unbound_token")],
  "a token that is bound to a certificate cannot be proved":
    ["/plain", { token: "certified" }, refused("sender_constrained")],
  "a revoked token is refused with a proof too": ["/plain", { token: "boundRevoked" }, refused("revoked_token")],
  "a proof does not replace a scope": ["/read", {}, scopeless],
  "behind a proxy a proof matches the public URL":
    ["/public?x", { proves: { origin: "https://api.example/v2" } }, served()],
  "behind a proxy a proof of the internal URL is wrong": ["/public", {}, invalid],
  "behind a proxy the path counts": ["/public", { proves: { origin: "https://api.example" } }, invalid],
};

/**
 * @param {(path: string, init: RequestInit) => Promise<Response>} send
 * @param {any} given see given.mjs
 */
export async function askWithProofs(send, given) {
  const keys = {};
  for (const [name, jwks] of Object.entries(given.clients)) keys[name] = await pairOf(jwks);
  const { origin } = new URL((await send("/plain", {})).url || "http://api.test");
  const ask = async (path, { body, headers = (proof) => [proof], method = "GET", proves = {}, scheme = "DPoP", token = "bound" }) => {
    const of = { key: "own", method, origin, path, token, ...proves };
    const url = `${of.origin}${of.path.split("?")[0]}`;
    const proof = await generateProof(keys[of.key], url, of.method, undefined, given.tokens[of.token]);
    const sent = [["authorization", `${scheme} ${given.tokens[token]}`], ...headers(proof).map((one) => ["dpop", one])];
    const once = async (body) => {
      const response = await send(path, { headers: sent, method, body });
      return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() };
    };
    // A server may close the connection of a request whose body it does not read.
    return { first: await once(body), again: await once() };
  };
  const proved = {};
  for (const [name, [path, sent]] of Object.entries(PROOF_CASES)) proved[name] = await ask(path, sent);
  return proved;
}

/** A proof that was accepted once is a replay the second time, also if the token was refused later. @param {any} expected */
export function again(expected) {
  if (expected.status === 401) return expected;
  return expected.json || expected.code ? invalid : { ...invalid, code: undefined };
}

/** The keys of a client, imported from JSON. */
async function pairOf({ privateKey, publicKey }) {
  const { subtle } = globalThis.crypto;
  const ES256 = { name: "ECDSA", namedCurve: "P-256" };
  return {
    privateKey: await subtle.importKey("jwk", privateKey, ES256, false, ["sign"]),
    publicKey: await subtle.importKey("jwk", publicKey, ES256, true, ["verify"]),
  };
}
