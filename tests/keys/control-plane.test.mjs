// New signing keys of a real control plane, with constant traffic. I16, D102.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { startControlPlane } from "../support/control-plane.mjs";

const plane = await startControlPlane();
const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
const verifiers = await Promise.all(Array.from({ length: 3 }, () => createVerifier({
  issuer: plane.url,
  audience: "api",
  keys: `${plane.url}/.well-known/jwks.json`,
  requiredClaims: ["exp", "iat", "sub", "jti", "sid", "ver"],
  feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey },
})));
after(async () => {
  for (const one of verifiers) one.close();
  await plane.close();
});
const handlers = verifiers.map((verifier) => guard(verifier, () => Response.json({ code: "served" })));

/** Sends new tokens to every verifier for some seconds; counts the answers. */
async function underLoad(seconds, work) {
  const counts = {};
  let isOver = false;
  const clients = Array.from({ length: 8 }, async (_, index) => {
    while (!isOver) {
      const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub: `user${index}-${Math.random()}` });
      const headers = { authorization: `Bearer ${token}` };
      const asked = handlers.map((handle) => handle(new Request("http://api.test/", { headers })));
      for (const answer of await Promise.all(asked)) {
        const { code } = await answer.json();
        counts[`${answer.status} ${code}`] = (counts[`${answer.status} ${code}`] ?? 0) + 1;
      }
      await new Promise((resume) => setTimeout(resume, 20));
    }
  });
  await new Promise((resume) => setTimeout(resume, 1000));
  await work();
  await new Promise((resume) => setTimeout(resume, seconds * 1000));
  isOver = true;
  await Promise.all(clients);
  return counts;
}

const refusals = (counts) => Object.keys(counts).filter((name) => name.startsWith("401"));

// I16
test("a planned rotation refuses no good token", { timeout: 120_000 }, async () => {
  const counts = await underLoad(6, () => plane.call("POST", "/v1/keys/rotate", {}));
  assert.deepEqual(refusals(counts), [], JSON.stringify(counts));
  assert.ok(counts["200 served"] > 50, JSON.stringify(counts));
});

// I16: the new key signs from the moment of the red button. Older tokens are refused because of the button, and
// not because of a key.
test("a red button of our own refuses no token that is newer", { timeout: 120_000 }, async () => {
  const counts = await underLoad(8, () => plane.call("POST", "/v1/red-button", { sessions: "keep" }));
  const wrong = refusals(counts).filter((name) => !/revoked_(epoch|key)$/.test(name));
  assert.deepEqual(wrong, [], JSON.stringify(counts));
  assert.ok(counts["200 served"] > 50, JSON.stringify(counts));
});
