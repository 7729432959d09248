// Vercel's edge runtime: wasm is imported as a compiled module. The feed is refreshed by requests, in
// waitUntil.

import { initSync } from "../../pkg/offswitch.js";
import module from "../../pkg/offswitch_bg.wasm?module";
import { creating } from "../verifier/create-verifier.js";
import { webCrypto } from "../engine/host-webcrypto.js";
import { EDDSA, RSA, useHost } from "../engine/host.js";
import { defaults } from "../options.js";
import { RequestFollower } from "../feed/request-follower.js";
import { Verifier, followByRequests } from "../verifier/verifier.js";

// The sandbox of `next dev` and `next start` compiles modules in another realm than this code runs in.
initSync(Object.setPrototypeOf(module, WebAssembly.Module.prototype));
useHost(`${EDDSA} ES256 ${RSA}`, webCrypto);
// The largest base for which there is room beside everything else (docs/scale.md).
defaults.maxBytes = 32 * 1024 * 1024;
followByRequests((verifier) => new RequestFollower(verifier));

/** Nothing is left to load; here so that every runtime exports the same. */
export async function load() {}

export const createVerifier = creating(load);
export { Verifier };
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
