// A Rust client that follows a head, and the control plane whose tokens it judges.

import assert from "node:assert/strict";
import { until } from "../support/feed.mjs";
import { startRustClient } from "../support/rust-client.mjs";

/**
 * A client that follows the heads at these addresses.
 *
 * @param {import("../support/control-plane.mjs").ControlPlane} plane @param {string[]} head
 * @param {{ issuer?: string, apiKey?: string, maxStaleness?: number }} [options]
 */
export async function readerOf(plane, head, { issuer = plane.url, apiKey, maxStaleness = 60 } = {}) {
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  const client = await startRustClient(
    { key: { jwk: {} }, publicKey: publicKeys[0], url: [] },
    { head, id: issuer, publicKeys, pollSeconds: 1, maxStaleness, apiKey },
    { issuer, audience: "api", keys: `${plane.url}/.well-known/jwks.json` },
  );
  assert.ok(await until(async () => (await client.status()).is_ready, 20), JSON.stringify(await client.status()));
  return client;
}

export const logIn = async (plane, sub) => (await plane.call("POST", "/v1/sessions", { sub })).access_token;

export const revoke = (plane, sub) => plane.call("POST", "/v1/revocations", { sub });

/** Seconds from now until the client refuses the token as revoked. */
export async function refused(client, token, seconds = 20) {
  const began = performance.now();
  const isRefused = async () => (await client.check(token)) === "revoked_user";
  assert.ok(await until(isRefused, seconds), `${await client.check(token)}: ${JSON.stringify(await client.status())}`);
  return (performance.now() - began) / 1000;
}
