// Workers: wasm is imported as a compiled module. The feed is refreshed by requests, in waitUntil.

import { initSync } from "../../pkg/offswitch.js";
import module from "../../pkg/offswitch_bg.wasm";
import { packageFor } from "../verifier/create-verifier.js";
import { webCrypto } from "../engine/host-webcrypto.js";
import { EDDSA, RSA, hosting } from "../engine/host.js";
import { RequestFollower } from "../feed/request-follower.js";

initSync(module);

/** Nothing is left to load; here so that every runtime exports the same. */
export async function load() {}

export const { Verifier, createVerifier } = packageFor({
  followRequests: (internals) => new RequestFollower(internals),
  hosts: new Map(hosting(`${EDDSA} ES256 ${RSA}`, webCrypto)),
  load,
  // The largest base for which an isolate of 128 MB has room (docs/scale.md).
  maxBytes: 32 * 1024 * 1024,
});
export { readKeySet, verifyJws, verifySignature } from "../engine/layers.js";
