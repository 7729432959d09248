// DPoP through the edge worker, in real workerd: the checks of the worker, and the request that the upstream gets.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { generateKeyPair, generateProof } from "dpop";
import { calculateJwkThumbprint } from "jose";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4, tokens: ["gone"] }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
const PUBLIC = "https://api.example/v2";
const edge = await startEdge(stub, publicKey);
const behind = await startEdge(stub, publicKey, {
  OFFSWITCH_DPOP_PUBLIC_URL: PUBLIC, OFFSWITCH_DPOP_MAX_AGE_SECONDS: "5",
  OFFSWITCH_HANDOVER_URL: `${stub.url}/handover`, OFFSWITCH_HANDOVER_API_KEY: "key",
});
after(async () => {
  await edge.close();
  await behind.close();
  await stub.close();
});
const client = await generateKeyPair("ES256", { extractable: true });
const jkt = await calculateJwkThumbprint(await crypto.subtle.exportKey("jwk", client.publicKey));
const bound = await mint(key, { cnf: { jkt } });

async function send(worker, { method = "GET", origin = worker.url, path = "/orders", scheme = "DPoP", token = bound, proof } = {}) {
  const dpop = proof ?? await generateProof(client, `${origin}${path}`, method, undefined, token);
  const headers = { authorization: `${scheme} ${token}`, dpop };
  const response = await fetch(`${worker.url}${path}?page=2`, { method, headers });
  return { dpop, response, body: await response.json() };
}

// I14: the token stays bound on its way: the worker removes nothing of the proof.
test("a request with a proof reaches the upstream unchanged", async () => {
  const { body, dpop, response } = await send(edge);
  assert.deepEqual([response.status, response.headers.get("offswitch-verdict")], [200, "valid"]);
  assert.equal(body.headers.authorization, `DPoP ${bound}`);
  assert.equal(body.headers.dpop, dpop);
  assert.equal(body.headers["offswitch-claims"], bound.split(".")[1]);
  const again = await send(edge, { proof: dpop });
  assert.deepEqual([again.response.status, again.body.code], [401, "invalid_dpop_proof"]);
  assert.match(again.response.headers.get("www-authenticate"), /^DPoP error="invalid_dpop_proof", .*algs="ES256 /);
});

// I14
test("the worker refuses a proof that is not for the request", async () => {
  const revoked = await mint(key, { cnf: { jkt }, jti: "gone" });
  for (const [code, how] of [
    ["sender_constrained", { scheme: "Bearer" }],
    ["invalid_dpop_proof", { origin: "https://evil.example" }],
    ["invalid_dpop_proof", { proof: "nonsense" }],
    ["unbound_token", { token: await mint(key) }],
    ["revoked_token", { token: revoked }],
  ]) {
    const { body, response } = await send(edge, how);
    assert.deepEqual([response.status, body.code], [401, code]);
    assert.match(response.headers.get("www-authenticate"), /^DPoP error=/);
  }
});

// I14: the public URL is configured; a browser's cookie is not considered.
test("behind a proxy the public URL counts, also together with the handover", async () => {
  assert.equal((await send(behind, { origin: PUBLIC })).response.status, 200);
  const { body, response } = await send(behind);
  assert.deepEqual([response.status, body.code], [401, "invalid_dpop_proof"]);
});

// I14
test("wrong settings for proofs are named", async () => {
  for (const [name, value] of [["OFFSWITCH_DPOP_PUBLIC_URL", "api.example"], ["OFFSWITCH_DPOP_MAX_AGE_SECONDS", "301"]]) {
    const wrong = await startEdge(stub, publicKey, { [name]: value });
    const { body } = await send(wrong);
    assert.equal(body.code, "misconfigured");
    await wrong.close();
  }
});
