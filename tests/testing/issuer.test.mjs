// `offswitch/testing`: an application's unit tests get the same verdicts as its users.

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
  context.mock.method(globalThis, "fetch", () => assert.fail("a request was sent"));
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
test("each way to revoke affects the tokens it names, and no others", async () => {
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

// N05, I07
test("tokens are revoked by claims, alone and together, and later tokens are valid", async () => {
  const app = { client_id: "app", sub: "alice", act: { sub: "bot" }, level: 3, beta: true, groups: ["a", "b"], "一": "x", "😀": "y" };
  const cases = [
    { client_id: "app" }, { client_id: "app", sub: "alice" }, { "/act/sub": "bot" }, { level: 3 }, { level: 3n, beta: true },
    { groups: "b" }, { "/client_id": "app", "/act/sub": "bot", level: 3, beta: true }, { "😀": "y", "\uffee": "z" },
  ];
  for (const claims of cases) {
    auth = await createTestIssuer();
    verifier = await auth.createVerifier();
    const [token, other] = [await auth.token({ ...app, "\uffee": "z" }), await auth.token({ ...app, client_id: "web", act: {}, level: -3, beta: false, groups: [], "😀": "n" })];
    assert.equal(await codeOf(token), "valid");
    await auth.revoke({ claims });
    assert.deepEqual([await codeOf(token), await codeOf(other)], ["revoked_claims", "valid"], Object.keys(claims).join());
    assert.equal(await codeOf(await auth.token(app)), "valid");
  }
});

// N05, I07: the type matters.
test("a number is revoked as a number, of any size", async () => {
  for (const n of [0, -1, 2 ** 53 - 1, -(2 ** 53) + 1]) {
    const token = await auth.token({ n });
    await auth.revoke({ claims: { n: String(n) } });
    assert.equal(await codeOf(token), "valid");
    await auth.revoke({ claims: { n } });
    assert.equal(await codeOf(token), "revoked_claims", String(n));
  }
});

// N05: like in the control plane.
test("a single claim that is an id revokes that id, for tokens of any age", async () => {
  const token = await auth.token({ jti: "one", sub: "alice" });
  await auth.revoke({ claims: { "/jti": "one" } });
  assert.equal(await codeOf(token), "revoked_token");
  assert.equal(await codeOf(await auth.token({ jti: "one" })), "revoked_token");
  const user = await auth.token({ sub: "alice" });
  await auth.revoke({ claims: { sub: "alice" } });
  assert.equal(await codeOf(user), "revoked_user");
  assert.equal(await codeOf(await auth.token({ sub: "alice" })), "valid");
});

// N05, I07
test("issuedBefore revokes only older tokens, and a later revocation does not undo it", async () => {
  const now = Math.floor(Date.now() / 1000);
  const [before, after] = await Promise.all([-100, -50].map((age) => auth.token({ client_id: "app", iat: now + age })));
  const codes = async () => [await codeOf(before), await codeOf(after)];
  await auth.revoke({ claims: { client_id: "app" }, issuedBefore: now - 50 });
  assert.deepEqual(await codes(), ["revoked_claims", "valid"]);
  await auth.revoke({ claims: { client_id: "app" }, issuedBefore: now - 1000 });
  assert.deepEqual(await codes(), ["revoked_claims", "valid"]);
  await auth.revoke({ claims: { client_id: "app" } });
  assert.deepEqual(await codes(), ["revoked_claims", "revoked_claims"]);
});

// N05, I09: an application with an identity provider, which another test issuer replaces.
test("tokens of another issuer are revoked in each way, and those of the test issuer stay valid", async () => {
  const idp = await createTestIssuer({ issuer: "https://idp.test" });
  verifier = await auth.createVerifier({ issuers: [{ issuer: idp.issuer, audience: "test", keys: idp.jwks }] });
  const ids = { jti: "j", sid: "s", sub: "alice", client_id: "app" };
  const [own, foreign] = [await auth.token(ids), await idp.token(ids)];
  const { issuer } = idp;
  const iat = Math.floor(Date.now() / 1000);
  const ways = {
    revoked_token: [{ jti: "t", issuer }, { jti: "t" }],
    revoked_session: [{ sessionId: "x", issuer }, { sid: "x" }],
    revoked_user: [{ sub: "bob", issuer, issuedBefore: iat }, { sub: "bob", iat: iat - 5 }],
    revoked_claims: [{ claims: { client_id: "web" }, issuer, issuedBefore: iat }, { client_id: "web", iat: iat - 5 }],
  };
  for (const [code, [what, claims]] of Object.entries(ways)) {
    const token = await idp.token(claims);
    assert.deepEqual([await codeOf(own), await codeOf(foreign), await codeOf(token)], ["valid", "valid", "valid"]);
    await auth.revoke(what);
    assert.deepEqual([await codeOf(own), await codeOf(foreign), await codeOf(token)], ["valid", "valid", code]);
  }
  await auth.revoke({ token: foreign });
  assert.deepEqual([await codeOf(own), await codeOf(foreign)], ["valid", "revoked_token"]);
  await auth.revoke({ kid: "test", issuer });
  assert.deepEqual([await codeOf(own), await codeOf(await idp.token())], ["valid", "revoked_key"]);
});

// N05
test("the red button revokes only tokens that were issued before it", async () => {
  for (let press = 0; press < 3; press += 1) {
    const token = await auth.token();
    assert.equal(await codeOf(token), "valid");
    await auth.redButton();
    assert.equal(await codeOf(token), "revoked_epoch");
  }
  assert.equal(await codeOf(await auth.token()), "valid");
});

// N05
test("time passes when the test advances it", async () => {
  const token = await auth.token();
  await auth.advance(600 + 30 + 1);
  assert.equal(await codeOf(token), "expired");
  assert.equal(await codeOf(await auth.token()), "valid");
});

// N05
test("a verifier that starts later knows the earlier revocations", async () => {
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
test("a revocation without anything to revoke is refused", async () => {
  for (const what of [{}, { user: "alice" }, { sub: "a", jti: "b" }, { sub: undefined }]) {
    await assert.rejects(auth.revoke(what), { name: "TypeError", message: /^revoke takes one of / });
  }
  await assert.rejects(auth.revoke({ token: await auth.token({ jti: undefined }) }), /has no jti/);
  const five = { a: 1, b: 1, c: 1, d: 1, e: 1 };
  for (const [what, message] of [
    [{ claims: {} }, /1 to 4 claims, found 0/], [{ claims: five }, /found 5/],
    [{ claims: { exp: 5 } }, /not revoked by exp/], [{ claims: { "/iat": 5 } }, /not revoked by iat/],
    [{ claims: { a: 1.5 } }, /a whole number/], [{ claims: { a: null } }, /a whole number/], [{ claims: { a: ["x"] } }, /a whole number/],
    [{ claims: { a: 2n ** 64n } }, /a whole number/], [{ claims: { a: "" } }, /1 to 256 bytes/], [{ claims: { a: "é".repeat(129) } }, /1 to 256 bytes/],
    [{ claims: { "": "a" } }, /not a claim path/], [{ claims: { "/a~2": "a" } }, /not a claim path/], [{ claims: { ["/a".repeat(9)]: "a" } }, /not a claim path/],
    [{ claims: { a: "x", "/a": "x" } }, /named twice/], [{ claims: "a" }, /^revoke takes one of/], [{ claims: null }, /^revoke takes one of/],
    [{ claims: { a: 1 }, issuedBefore: Date.now() }, /must be unix seconds/], [{ sub: "a", issuedBefore: 1_700_000_000 }, /issuedBefore is for/],
    [{ jti: "a", issuedBefore: 1_700_000_000 }, /issuedBefore is for/], [{ kid: "a", issuedBefore: 1_700_000_000 }, /issuedBefore is for/],
    [{ claims: { a: 1 }, issuer: "https://elsewhere.test" }, /no verifier accepts tokens of https:\/\/elsewhere.test, only of https:\/\/issuer.test/],
  ]) {
    await assert.rejects(auth.revoke(what), (error) => error instanceof TypeError && message.test(error.message), JSON.stringify(what, (_, value) => String(value) && value?.toString() === "[object Object]" ? value : String(value)));
  }
  for (let more = 0; more < 5; more += 1) await auth.revoke({ claims: { [`claim${more}`]: 1 } });
  await assert.rejects(auth.revoke({ claims: { another: 1 } }), /at most 8 combinations/);
  assert.deepEqual(await auth.revoke({ claims: { claim0: 2 } }), { position: "1.6" });
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
test("a test in CommonJS gets the same", async () => {
  const required = createRequire(import.meta.url)("offswitch/testing");
  const own = await required.createTestIssuer({ issuer: "https://own.test", audience: "own" });
  const token = await own.token();
  const judge = await own.createVerifier();
  assert.deepEqual([judge.verifySync(token).code, verifier.verifySync(token).code], ["valid", "bad_signature"]);
  await own.revoke({ token });
  assert.equal(judge.verifySync(token).code, "revoked_token");
});
