// Node: wasm is read from its file.

import { readFileSync } from "node:fs";
import { creating } from "../verifier/create-verifier.js";
import { follow } from "../feed/follow.js";
import { nodeCrypto } from "../engine/host-node-crypto.js";
import { RSA, useHost } from "../engine/host.js";
import { loadAtStart } from "./at-start.js";
import { inlineInstead } from "./fallback.js";

useHost(`ES256 ${RSA}`, nodeCrypto);

const file = () => readFileSync(new URL("../../pkg/offswitch_bg.wasm", import.meta.url));
export const load = loadAtStart(file, inlineInstead);
export const createVerifier = creating(load, follow);
export { Verifier } from "../verifier/verifier.js";
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
