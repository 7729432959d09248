// Node: wasm is read from its file.

import { readFileSync } from "node:fs";
import { creating } from "./create-verifier.js";
import { follow } from "./follow.js";
import { nodeCrypto } from "./host-node-crypto.js";
import { RSA, useHost } from "./host.js";
import { loadAtStart } from "./loading/at-start.js";
import { inlineInstead } from "./loading/fallback.js";

useHost(`ES256 ${RSA}`, nodeCrypto);

const file = () => readFileSync(new URL("../pkg/offswitch_bg.wasm", import.meta.url));
export const load = loadAtStart(file, inlineInstead);
export const createVerifier = creating(load, follow);
export { Verifier } from "./verifier.js";
export { readKeySet, verifyJws, verifySignature } from "./layers.js";
