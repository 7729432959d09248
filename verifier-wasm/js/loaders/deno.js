// Deno: wasm is read from its file, if the program may read it.

import { readFileSync } from "node:fs";
import { packageFor } from "../verifier/create-verifier.js";
import { followWith } from "../feed/follow.js";
import { nodeCrypto } from "../engine/host-node-crypto.js";
import { webCrypto } from "../engine/host-webcrypto.js";
import { ECDSA, RSA, hosting } from "../engine/host.js";
import { loadAtStart } from "./at-start.js";
import { inlineInstead } from "./fallback.js";

function file() {
  const path = new URL("../../pkg/offswitch_bg.wasm", import.meta.url);
  // Checked first: reading without the permission would stop and prompt the user.
  const { state } = /** @type {any} */ (globalThis).Deno.permissions.querySync({ name: "read", path });
  if (state !== "granted") throw new Error("no --allow-read");
  return readFileSync(path);
}

export const load = loadAtStart(file, inlineInstead);
const hosts = new Map([...hosting(RSA, nodeCrypto), ...hosting(ECDSA, webCrypto)]);
const follow = followWith(() => import("../feed/stream-follower.js"));
const loadHeads = () => import("../feed/head.js");
export const { Verifier, createVerifier } = packageFor({ follow, hosts, load, loadHeads });
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
