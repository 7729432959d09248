// Bun: wasm is read from its file, which `bun build` and `bun build --compile` include.

import { readFileSync } from "node:fs";
import path from "../../pkg/offswitch_bg.wasm" with { type: "file" };
import { packageFor } from "../verifier/create-verifier.js";
import { followWith } from "../feed/follow.js";
import { nodeCrypto } from "../engine/host-node-crypto.js";
import { ECDSA, RSA, hosting } from "../engine/host.js";
import { loadAtStart } from "./at-start.js";
import { inlineInstead } from "./fallback.js";

// The path that `bun build` writes is relative to the bundle.
const file = () => readFileSync(new URL(String(path), import.meta.url));
export const load = loadAtStart(file, inlineInstead);
const follow = followWith(() => import("../feed/stream-follower.js"));
const loadHeads = () => import("../feed/head.js");
export const { Verifier, createVerifier } = packageFor({
  follow, hosts: new Map(hosting(`${ECDSA} ${RSA}`, nodeCrypto)), load, loadHeads,
});
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
