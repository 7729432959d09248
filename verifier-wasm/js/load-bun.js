// Bun: wasm is read from its file, which `bun build` and `bun build --compile` take along.

import { readFileSync } from "node:fs";
import path from "../pkg/offswitch_bg.wasm" with { type: "file" };
import { creating } from "./create-verifier.js";
import { follow } from "./follow.js";
import { nodeCrypto } from "./host-node-crypto.js";
import { EDDSA, RSA, useHost } from "./host.js";
import { loadAtStart } from "./loading/at-start.js";
import { inlineInstead } from "./loading/fallback.js";

useHost(`${EDDSA} ES256 ${RSA}`, nodeCrypto);

// What `bun build` writes is relative to the bundle.
const file = () => readFileSync(new URL(String(path), import.meta.url));
export const load = loadAtStart(file, inlineInstead);
export const createVerifier = creating(load, follow);
export { Verifier } from "./verifier.js";
export { readKeySet, verifyJws, verifySignature } from "./layers.js";
