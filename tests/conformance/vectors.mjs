// Reads the outside vectors, and adds signatures that no library would make.

import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { ROOT } from "../support/fixture.mjs";
import { P, forge, secretOf, toBytes } from "./cases/edwards.mjs";
import { COUNTS, OURS } from "./wycheproof.mjs";

/** The vectors by file; undefined where Wycheproof's are not there. */
export function readVectors() {
  const folder = process.env.OFFSWITCH_VECTORS ?? `${ROOT}../shared/vectors/wycheproof`;
  const read = (name) => [name, JSON.parse(readFileSync(`${folder}/${name}`, "utf8"))];
  try {
    return { ...Object.fromEntries(Object.keys(COUNTS).map(read)), [OURS]: smallOrder() };
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * The key's owner can make R the neutral element, in four spellings. The plain one satisfies the
 * equation, and OpenSSL and BoringSSL accept it; whoever is strict does not (ePrint 2020/1244).
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
