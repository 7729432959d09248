// A program for Node that a bundler makes. Most bundlers lose the wasm file there, so wasm is taken from
// the JavaScript. Only bundlers set the condition "module", by which they find this file.

import { gunzipSync } from "node:zlib";
import { zipped } from "../../pkg/offswitch_inline.js";
import { packageFor } from "../verifier/create-verifier.js";
import { followWith } from "../feed/follow.js";
import * as heads from "../feed/head.js";
import * as streams from "../feed/stream-follower.js";
import { nodeCrypto } from "../engine/host-node-crypto.js";
import { ECDSA, RSA, hosting } from "../engine/host.js";
import { loadAtStart } from "./at-start.js";

const inlined = () => gunzipSync(Buffer.from(zipped, "base64"));
export const load = loadAtStart(inlined, (cause) => Promise.reject(cause));
const follow = followWith(() => Promise.resolve(streams));
const loadHeads = () => Promise.resolve(heads);
export const { Verifier, createVerifier } = packageFor({
  follow, hosts: new Map(hosting(`${ECDSA} ${RSA}`, nodeCrypto)), load, loadHeads,
});
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
export { preset } from "../presets/preset.js";
