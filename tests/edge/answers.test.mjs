// The shapes of the edge worker's answers, and the requests that reach the upstream. Real workerd.

import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4, tokens: ["gone"] }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
const edge = await startEdge(stub, publicKey, { OFFSWITCH_FEED_API_KEY: "osk_test" });
after(async () => {
  await edge.close();
  await stub.close();
});
const good = await mint(key, { name: "Zoë" });
const bearer = (token) => ({ authorization: `Bearer ${token}` });

test("a request with a good token reaches the upstream unchanged, with its claims", async () => {
  const response = await fetch(`${edge.url}/a%2Fb/c?x=1&x=2`, {
    method: "PATCH", body: "the body", headers: { ...bearer(good), "x-own": "kept" },
  });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("offswitch-position"), "1.4");
  assert.equal(response.headers.get("offswitch-verdict"), "valid");
  const seen = await response.json();
  assert.deepEqual(
    [seen.method, seen.path, seen.search, seen.body, seen.headers["x-own"]],
    ["PATCH", "/up/a%2Fb/c", "?x=1&x=2", "the body", "kept"],
  );
  const claims = JSON.parse(Buffer.from(seen.headers["offswitch-claims"], "base64url"));
  assert.deepEqual([claims.iss, claims.sub, claims.name], [ISSUER, "user", "Zoë"]);
});

// A client that sends the claims itself: in no spelling does the upstream see them.
test("a client cannot set the claims header", async () => {
  const url = new URL(edge.url);
  const headers = { ...bearer(good), "OFFSWITCH-Claims": "Zm9v", Offswitch_Claims: "Zm9v", "offswitch-extra": "x" };
  const seen = await new Promise((resolve, reject) => {
    const sent = httpRequest({ host: url.hostname, port: url.port, headers }, async (response) => {
      resolve(JSON.parse(Buffer.concat(await response.toArray())));
    });
    sent.on("error", reject).end();
  });
  const ours = Object.keys(seen.headers).filter((name) => /^offswitch[-_]/.test(name));
  assert.deepEqual(ours, ["offswitch-claims"]);
  assert.equal(JSON.parse(Buffer.from(seen.headers["offswitch-claims"], "base64url")).sub, "user");
});

// RFC 6750 section 3: without a token the challenge names no error.
test("a request without a token gets a challenge", async () => {
  for (const headers of [{}, { authorization: "Basic dTpw" }]) {
    const response = await fetch(`${edge.url}/?access_token=${good}`, { headers });
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("www-authenticate"), "Bearer");
    assert.equal((await response.json()).code, "missing_token");
  }
});

// V18, E01: 401 carries the code in the challenge and in a problem document.
test("a refused token is answered with 401, its code and nothing else", async () => {
  const cases = {
    revoked_token: await mint(key, { jti: "gone" }),
    expired: await mint(key, { exp: 1 }),
    missing_claim: await mint(key, { sid: undefined }),
    malformed: "nonsense",
  };
  for (const [code, token] of Object.entries(cases)) {
    const response = await fetch(edge.url, { headers: bearer(token) });
    assert.equal(response.status, 401, code);
    assert.equal(
      response.headers.get("www-authenticate"),
      `Bearer error="invalid_token", error_description="${code}"`,
    );
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("offswitch-position"), "1.4");
    assert.equal(response.headers.get("offswitch-verdict"), code);
    const { type, title, status, code: answered, detail } = await response.json();
    assert.deepEqual([type, title, status, answered], [`urn:offswitch:problem:${code}`, "Unauthorized", 401, code]);
    assert.ok(!detail.includes(token));
  }
});

test("only requests to the feed carry the API key", async () => {
  const asked = stub.requests.find((one) => one.path === "/feed");
  assert.equal(asked.headers.authorization, "Bearer osk_test");
  assert.equal(stub.requests.find((one) => one.path === "/jwks").headers.authorization, undefined);
});

test("an upstream's redirect is passed to the client", async () => {
  const response = await fetch(`${edge.url}/moved`, { headers: bearer(good), redirect: "manual" });
  assert.equal(response.status, 302);
  assert.equal(response.headers.get("location"), "/elsewhere");
});

// Every problem is logged by name, none by value; no request is decided.
test("a worker with wrong settings answers 503 misconfigured", async () => {
  const wrong = await startEdge(stub, publicKey, { OFFSWITCH_ON_STALE: "maybe", UPSTREAM: "" });
  const response = await fetch(wrong.url, { headers: bearer(good) });
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "1");
  assert.equal((await response.json()).code, "misconfigured");
  await wrong.close();
});
