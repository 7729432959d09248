// Reads the external vectors, and adds signatures that no library makes.

import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { ROOT } from "../support/fixture.mjs";
import { P, forge, secretOf, toBytes } from "./cases/edwards.mjs";
import { COUNTS, OURS } from "./wycheproof.mjs";

/** The vectors by file, of the files that exist; undefined if there are none. */
export function readVectors() {
  const folder = process.env.OFFSWITCH_VECTORS ?? `${ROOT}../shared/vectors/wycheproof`;
  const names = Object.keys(COUNTS).filter((name) => existsSync(`${folder}/${name}`));
  if (names.length === 0) return undefined;
  const read = (name) => [name, JSON.parse(readFileSync(`${folder}/${name}`, "utf8"))];
  return { ...Object.fromEntries(names.map(read)), [OURS]: smallOrder() };
}

/**
 * The key's owner can use the neutral element as R, in four encodings. The plain one satisfies the
 * equation, and OpenSSL and BoringSSL accept it; strict implementations do not (ePrint 2020/1244).
 */
function smallOrder() {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const secret = secretOf(privateKey.export({ format: "jwk" }));
  const neutral = [1n, 1n + P].flatMap((y) => [toBytes(y), withSign(toBytes(y))]);
  const tests = neutral.map((R, index) => ({
    tcId: index + 1,
    msg: Buffer.from("message").toString("hex"),
    sig: forge(secret, "message", { R }).toString("hex"),
    result: "invalid",
  }));
  return { testGroups: [{ publicKeyJwk: publicKey.export({ format: "jwk" }), tests }] };
}

function withSign(bytes) {
  bytes[31] |= 0x80;
  return bytes;
}
