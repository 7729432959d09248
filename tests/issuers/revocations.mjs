// The tests of one provider: each way to revoke that its tokens support takes effect at both verifiers, and
// affects neither another user's tokens nor another issuer's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { claimsOf, nextSecond } from "./system.mjs";

/**
 * @param {string} name
 * @param {() => import("./system.mjs").System} system
 * @param {object} provider
 * @param {(user: string, application?: string) => Promise<() => Promise<string>>} provider.login a login of a
 * user; the result returns a new token on each call
 * @param {{ token?: string, session?: string, application: string }} provider.claims the names of these claims
 * in its tokens; a path like those of a revocation
 * @param {() => Promise<void>} provider.rotate makes it sign with a new key
 * @param {string} [provider.lost] the code for a token of the previous key, if that is no longer published
 */
export function revocationsOf(name, system, { login, claims, rotate, lost }) {
  // I04, I05
  test(`${name}: a token is accepted, and a changed one is not`, async () => {
    const token = await (await login("alice@acme"))();
    await system().accepts(token, await system().ownToken());
    const [header, , signature] = token.split(".");
    const changed = Buffer.from(JSON.stringify({ ...claimsOf(token), admin: true })).toString("base64url");
    await system().refuses(`${header}.${changed}.${signature}`, "bad_signature");
  });

  if (claims.token === undefined) {
    // I05: a revocation that no verifier could enforce is refused.
    test(`${name}: a token without an id cannot be revoked by its text, and the answer says so`, async () => {
      const token = await (await login("alice@acme"))();
      const answer = /: 400 .*"code":"invalid_revocation".*has no text at jti, the id of this issuer's tokens/;
      await assert.rejects(system().revoke({ token }), answer);
      assert.equal(await system().revokeByForm(token), 400);
      await system().accepts(token);
    });
  } else {
    // I15
    test(`${name}: one token is revoked by its id, by its text, and by the form of RFC 7009`, async () => {
      const session = await login("alice@acme");
      const [byId, byText, byForm, other] = [await session(), await session(), await session(), await session()];
      await system().accepts(byId, byText, byForm, other);
      const { until } = await system().revoke({ jti: claimsOf(byId)[claims.token] });
      assert.ok(until >= claimsOf(byId).exp);
      await system().revoke({ token: byText });
      assert.equal(await system().revokeByForm(byForm), 200);
      for (const token of [byId, byText, byForm]) await system().refuses(token, "revoked_token");
      await system().accepts(other);
    });
  }

  if (claims.session !== undefined) {
    // I07: the session id is the registered claim, at any depth.
    test(`${name}: one login is revoked by the session's id`, async () => {
      const [phone, laptop] = [await login("alice@acme"), await login("alice@acme")];
      const [first, second, other] = [await phone(), await phone(), await laptop()];
      await system().accepts(first, second, other);
      await system().revoke({ session_id: at(claimsOf(first), claims.session) });
      await system().refuses(first, "revoked_session");
      await system().refuses(second, "revoked_session");
      await system().accepts(other);
    });
  }

  // I07
  test(`${name}: a user is revoked on all devices, and the next login works`, async () => {
    const [phone, laptop] = [await (await login("carol@acme"))(), await (await login("carol@acme"))()];
    const [other, own] = [await (await login("bob@acme"))(), await system().ownToken()];
    await system().accepts(phone, laptop, other, own);
    await system().revoke({ sub: claimsOf(phone).sub });
    await system().refuses(phone, "revoked_user");
    await system().refuses(laptop, "revoked_user");
    await nextSecond();
    await system().accepts(other, own, await (await login("carol@acme"))());
  });

  // I07: the caller gives the time.
  test(`${name}: the tokens of a user issued before a given time are revoked`, async () => {
    const session = await login("dave@acme");
    const before = await session();
    await nextSecond();
    const after = await session();
    await system().accepts(before, after);
    await system().revoke({ sub: claimsOf(before).sub, issued_before: claimsOf(after).iat });
    await system().refuses(before, "revoked_user");
    await system().accepts(after);
  });

  // I07: a selector that the verifiers did not know when they started, alone and with another claim.
  test(`${name}: tokens are revoked by other claims, alone and together`, async () => {
    const named = (token) => ({ [claims.application]: at(claimsOf(token), claims.application) });
    const [mine, yours] = [await (await login("erin@acme", "app"))(), await (await login("frank@acme", "app"))()];
    const other = await (await login("erin@acme", "web"))();
    await system().accepts(mine, yours, other);
    const { selector } = await system().revoke({ claims: { ...named(mine), sub: claimsOf(mine).sub } });
    assert.deepEqual(selector, [claims.application, "sub"].sort());
    await system().refuses(mine, "revoked_claims");
    await system().accepts(yours, other);
    await system().revoke({ claims: named(yours) });
    await system().refuses(yours, "revoked_claims");
    await system().accepts(other, await system().ownToken());
  });

  // I09
  test(`${name}: the red button for this issuer revokes all its tokens and no others`, async () => {
    const [token, own] = [await (await login("grace@acme"))(), await system().ownToken()];
    await system().accepts(token, own);
    const press = (more) => system().plane.call("POST", "/v1/red-button", { issuer: system().issuer, ...more });
    await press({ dry_run: true });
    await system().accepts(token);
    await press();
    await system().refuses(token, "revoked_epoch");
    await nextSecond();
    await system().accepts(own, await (await login("grace@acme"))());
  });

  // I16
  test(`${name}: a new signing key is found, and a key that is no longer published is refused`, async () => {
    const before = await (await login("heidi@acme"))();
    await system().accepts(before);
    await rotate();
    const after = await (await login("heidi@acme"))();
    await system().accepts(after);
    if (lost !== undefined) return system().refuses(before, lost);
    assert.notEqual(kidOf(after), kidOf(before));
    await system().accepts(before);
    await system().revoke({ kid: kidOf(before) });
    await system().refuses(before, "revoked_key");
    await system().accepts(after);
  });
}

/** @param {any} claims @param {string} path a name or a JSON Pointer */
const at = (claims, path) =>
  (path.startsWith("/") ? path.slice(1).split("/") : [path]).reduce((value, name) => value?.[name], claims);
const kidOf = (token) => JSON.parse(Buffer.from(token.split(".")[0], "base64url").toString()).kid;
