// Real bytes for the tests: snapshots signed by the Rust crate, tokens minted with jose.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { SignJWT, exportJWK, generateKeyPair } from "jose";

export const ISSUER = "https://issuer.test";
export const AUDIENCE = "api";
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Unix seconds. */
export const now = () => Math.floor(Date.now() / 1000);

/**
 * Signs snapshots; verifier-wasm/examples/fixture.rs describes the members of an order.
 *
 * @param {object[]} orders
 * @returns {{ publicKey: string, snapshots: Buffer[] }}
 */
export function sign(orders) {
  // The program is built before the time is read: on a fresh machine that takes minutes.
  buildExample("fixture");
  const filled = orders.map((order) => ({ issued_at: now(), valid_until: now() + 600, ...order }));
  const input = filled.map((order) => `${JSON.stringify(order)}\n`).join("");
  const printed = runExample("fixture", input);
  const lines = printed.trim().split("\n").map((line) => JSON.parse(line));
  return {
    publicKey: lines[0].public_key,
    snapshots: lines.map((line) => Buffer.from(line.snapshot, "base64url")),
  };
}

/** The output of an example of a crate. @param {string} name @param {string} input */
export const runExample = (name, input) => run(buildExample(name), [], input);

/** Builds an example once and returns the path of its program. @param {string} name @returns {string} */
export function buildExample(name) {
  const example = ["--workspace", "--all-features", "--example", name];
  examples[name] ??= run("cargo", ["build", "-q", ...example, "--message-format=json"])
    .split("\n").filter(Boolean).map((line) => JSON.parse(line))
    .find(({ executable, target }) => executable && target.name === name).executable;
  return examples[name];
}

const examples = {};

/** @param {string} program @param {string[]} args @param {string} [input] */
function run(program, args, input = "") {
  const ended = spawnSync(program, args, { cwd: ROOT, input, maxBuffer: 1 << 30 });
  if (ended.status !== 0) throw new Error(String(ended.stderr));
  return String(ended.stdout);
}

/** A signing key of `alg` with its public (for HMAC: only) JWK. */
export async function signingKey(alg, kid = `key-${alg}`) {
  if (alg.startsWith("HS")) {
    const secret = crypto.getRandomValues(new Uint8Array(Number(alg.slice(2)) / 8));
    const k = Buffer.from(secret).toString("base64url");
    return { alg, kid, key: secret, jwk: { kty: "oct", k, alg, kid } };
  }
  const pair = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, key: pair.privateKey, jwk: { ...(await exportJWK(pair.publicKey)), alg, kid } };
}

/** Mints a token; a claim or header member that is undefined is left out. */
export function mint({ alg, kid, key }, claims = {}, header = {}) {
  const payload = {
    iss: ISSUER, sub: "user", aud: AUDIENCE, jti: "token", sid: "session", ver: 1,
    iat: now() - 10, exp: now() + 600,
    ...claims,
  };
  return new SignJWT(payload).setProtectedHeader({ alg, kid, typ: "at+jwt", ...header }).sign(key);
}
