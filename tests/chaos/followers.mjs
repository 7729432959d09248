// Real verifiers that follow the control planes; everything that they receive goes into the history.

import { createVerifier } from "offswitch";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { readSnapshot } from "./snapshot.mjs";
import { AUDIENCE, ISSUER } from "./systems/system.mjs";

/**
 * A verifier with its own name, which follows the feed of `planes`.
 *
 * @param {import("./systems/system.mjs").System} system @param {import("./history.mjs").History} history
 * @param {string} name @param {import("./systems/system.mjs").Plane[]} planes @param {"poll" | "stream"} follow
 */
export async function startFollower(system, history, name, planes, follow) {
  const verifier = await createVerifier({
    issuer: ISSUER,
    audience: AUDIENCE,
    keys: `${planes[0].url}/.well-known/jwks.json`,
    requiredClaims: ["exp", "iat", "sub", "jti", "sid", "ver"],
    feed: {
      url: planes.map(({ url }) => ({ url: `${url}/v1/feed`, apiKey: system.apiKey })),
      publicKeys: system.feedKeys,
      follow,
      pollSeconds: 0.5,
    },
    onEvent: (event) => {
      const bytes = handed;
      handed = undefined;
      if (event.type !== "snapshot" || bytes === undefined) return;
      const { kind, from, to, chainFrom, chainTo, denied, users } = readSnapshot(bytes);
      const process = planes.length === 1 ? planes[0].process : "one of several";
      const result = "applied" in event ? event.applied : event.error;
      history.received.push({
        at: Date.now(), follower: name, process, result, kind, from, to, chainFrom, chainTo, denied, users,
      });
    },
  });
  return { name, planes, verifier };
}

/** The bytes that a verifier got last: its event follows in the same turn of the event loop. @type {Uint8Array | undefined} */
let handed;
const { apply } = WasmVerifier.prototype;
WasmVerifier.prototype.apply = function taking(bytes, now) {
  handed = bytes;
  return apply.call(this, bytes, now);
};
