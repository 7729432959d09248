// What Workers and Vercel's edge runtime have in common: isolates in which nothing runs between requests.
// The feed is refreshed by requests, in waitUntil.

import { webCrypto } from "../engine/host-webcrypto.js";
import { ECDSA, RSA, hosting } from "../engine/host.js";
import { RequestFollower } from "../feed/request-follower.js";

/** Nothing is left to load; this function exists so that every runtime exports the same. */
export async function load() {}

/** The parts of the package in these runtimes. @type {import("../verifier/create-verifier.js").Runtime} */
export const isolate = {
  followRequests: (internals) => new RequestFollower(internals),
  hosts: new Map(hosting(`EdDSA ${ECDSA} ${RSA}`, webCrypto)),
  load,
  loadHeads: () => import("../feed/head.js"),
  // The largest base that fits an isolate of 128 MB (docs/scale.md).
  maxBytes: 32 * 1024 * 1024,
};
