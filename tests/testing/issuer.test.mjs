// `offswitch/testing`: what an application's unit tests are told is what its users will be told.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { beforeEach, test } from "node:test";
import { createServer } from "node:http";
import { Verifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { createTestIssuer } from "offswitch/testing";
import { listen, stop } from "../middleware/listen.mjs";

let auth;
let verifier;
beforeEach(async () => {
  auth = await createTestIssuer();
  verifier = await auth.createVerifier();
});
const codeOf = async (token) => {
  const { code } = await verifier.verify(token);
  assert.equal(verifier.verifySync(token).code, code);
  return code;
};

// N05
test("the verifier is the real one, and needs no network", async (context) => {
  context.mock.method(globalThis, "fetch", () => assert.fail("something was fetched"));
  assert.ok(verifier instanceof Verifier);
  const token = await auth.token({ sub: "alice", scope: "read" });
  const { claims, evidence } = await verifier.verify(token);
  assert.deepEqual([claims.sub, claims.scope, evidence.position], ["alice", "read", "1.0"]);
  assert.deepEqual(await auth.revoke({ sub: "alice" }), { position: "1.1" });
  assert.equal(await codeOf(token), "revoked_user");
  assert.equal(await codeOf(await auth.token({ sub: "alice" })), "valid");
  assert.equal(await codeOf(await auth.token({ sub: "bob" })), "valid");
  assert.ok(verifier.isReady);
});

// N05
test("each way to revoke reaches what it names, and nothing else", async () => {
  const ways = {
    revoked_token: (claims, token) => ({ token }),
    revoked_session: ({ sid }) => ({ sessionId: sid }),
    revoked_user: ({ sub }) => ({ sub }),
  };
  for (const [code, way] of Object.entries(ways)) {
    const claims = { sub: code, jti: `${code}-jti`, sid: `${code}-sid` };
    const [token, other] = [await auth.token(claims), await auth.token()];
    await auth.revoke(way(claims, token));
    assert.deepEqual([await codeOf(token), await codeOf(other)], [code, "valid"]);
  }
  const token = await auth.token({ jti: "by-id" });
  await auth.revoke({ jti: "by-id" });
  assert.equal(await codeOf(token), "revoked_token");
  await auth.revoke({ kid: "test" });
  assert.equal(await codeOf(await auth.token()), "revoked_key");
});

// N05
test("the red button is for what was issued before it", async () => {
  const token = await auth.token();
  await auth.redButton();
  assert.equal(await codeOf(token), "revoked_epoch");
  assert.equal(await codeOf(await auth.token()), "valid");
});

// N05
test("time passes when the test says so", async () => {
  const token = await auth.token();
  await auth.advance(600 + 30 + 1);
  assert.equal(await codeOf(token), "expired");
  assert.equal(await codeOf(await auth.token()), "valid");
});

// N05
test("a verifier that comes later knows what was revoked before", async () => {
  const token = await auth.token();
  await auth.revoke({ token });
  assert.equal((await auth.createVerifier()).verifySync(token).code, "revoked_token");
});

// N05
test("onRevoked is called for a revocation in memory", async () => {
  const token = await auth.token({ sub: "alice" });
  const refused = new Promise((resolve) => verifier.onRevoked(token, resolve));
  await auth.revoke({ sub: "alice" });
  assert.equal((await refused).code, "revoked_user");
});

// N05: a revocation that would have no effect is an error.
test("a revocation that names nothing that can be revoked is refused", async () => {
  for (const what of [{}, { user: "alice" }, { sub: "a", jti: "b" }, { sub: undefined }]) {
    await assert.rejects(auth.revoke(what), { name: "TypeError", message: /^revoke takes one of / });
  }
  await assert.rejects(auth.revoke({ token: await auth.token({ jti: undefined }) }), /has no jti/);
});

// N05
test("a guarded route answers 200, 401, 403 and 503 as it will in production", async () => {
  const undecided = auth.createUndecidedVerifier();
  const guarded = { "/": [verifier, {}], "/admin": [verifier, { scopes: ["admin"] }], "/cold": [undecided, {}] };
  const server = createServer((request, response) => {
    const [judge, policy] = guarded[request.url];
    void offswitch(judge, policy)(request, response, () => response.end(request.offswitch.claims.sub));
  });
  const send = await listen(server);
  try {
    const headers = { authorization: `Bearer ${await auth.token({ sub: "alice", scope: "read" })}` };
    const statuses = async () => {
      const all = Object.keys(guarded).map((path) => send(path, { headers }));
      return (await Promise.all(all)).map(({ status }) => status);
    };
    assert.deepEqual(await statuses(), [200, 403, 503]);
    assert.equal((await send("/")).status, 401);
    await auth.revoke({ sub: "alice" });
    assert.deepEqual(await statuses(), [401, 401, 503]);
  } finally {
    stop(server);
  }
});

// N05, D35
test("a test in CommonJS has the same", async () => {
  const required = createRequire(import.meta.url)("offswitch/testing");
  const own = await required.createTestIssuer({ issuer: "https://own.test", audience: "own" });
  const token = await own.token();
  const judge = await own.createVerifier();
  assert.deepEqual([judge.verifySync(token).code, verifier.verifySync(token).code], ["valid", "bad_signature"]);
  await own.revoke({ token });
  assert.equal(judge.verifySync(token).code, "revoked_token");
});
