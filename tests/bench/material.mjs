// The shared input of all measurements of one run: tokens of each algorithm, their keys, and a base
// with a million revocations, in a temporary folder.

import { createPublicKey } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";

export const ALGORITHMS = ["EdDSA", "ES256", "RS256", "HS256"];
const DAY = 86_400;

/** Tokens like those of the peers' published figures: claims iss sub jti iat exp ver scope. */
export async function makeMaterial(folder, { entries, seen, fresh }) {
  mkdirSync(folder, { recursive: true });
  const issued = { issued_at: now(), valid_until: now() + DAY };
  const { publicKey, snapshots } = sign([{ ...issued, to: 1, extra: entries }, { ...issued, to: 1 }]);
  writeFileSync(`${folder}/base.bin`, snapshots[0]);
  writeFileSync(`${folder}/empty.bin`, snapshots[1]);
  const algorithms = {};
  for (const alg of ALGORITHMS) {
    const key = await signingKey(alg);
    const tokens = [];
    for (let number = 0; number < (alg === "EdDSA" ? seen : fresh); number += 1) {
      tokens.push(await mint(key, {
        aud: undefined, sid: undefined, sub: `user-${number}`, jti: crypto.randomUUID(),
        iat: now(), exp: now() + DAY, scope: "read write",
      }, { typ: "JWT" }));
    }
    algorithms[alg] = { jwk: key.jwk, pem: pemOf(key.jwk), tokens };
  }
  writeFileSync(`${folder}/material.json`, JSON.stringify({ publicKey, algorithms }));
}

/** Reads the input again; in Node, Deno and Bun. */
export function readMaterial(folder) {
  const read = (name) => readFileSync(`${folder}/${name}`);
  return {
    ...JSON.parse(read("material.json")),
    base: new Uint8Array(read("base.bin")),
    empty: new Uint8Array(read("empty.bin")),
  };
}

function pemOf(jwk) {
  if (jwk.kty === "oct") return undefined;
  return createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
}
