// oidc-provider-mock (PyPI), an independent project on authlib: ID tokens, RS256, without jti, without a
// session and without `kid`; `aud` is an array. A new process has a new key, and publishes no other.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/control-plane.mjs";
import { pythonWith } from "../support/python.mjs";
import { discover, startProgram } from "./program.mjs";
import { revocationsOf } from "./revocations.mjs";
import { claimsOf, startSystem } from "./system.mjs";

const CALLBACK = "http://127.0.0.1/callback";
const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;
let endpoints;
let provider;
let python;
let system;

const start = () => startProgram(python, ["-m", "oidc_provider_mock", "--port", String(port)],
  `${issuer}/.well-known/openid-configuration`, { PYTHONWARNINGS: "ignore" });

before(async () => {
  python = pythonWith(fileURLToPath(new URL("requirements.txt", import.meta.url)));
  provider = await start();
  endpoints = await discover(issuer);
  const definition = { issuer, discovery_uri: `${issuer}/.well-known/openid-configuration`, algorithms: ["RS256"] };
  system = await startSystem(definition, {
    issuer, audience: ["web", "app"], keys: endpoints.jwks_uri, algorithms: ["RS256"], types: ["JWT", null],
    requiredClaims: ["exp", "iat", "sub"],
  });
});
after(async () => {
  await system?.close();
  await provider?.close();
});

/** The user's claims are set before each login; `department` is a claim of this user. */
async function login(user, department = "web", client = "web") {
  const claims = await fetch(`${issuer}/users/${encodeURIComponent(user)}`, {
    method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ department }),
  });
  assert.equal(claims.status, 204);
  return async () => {
    const asked = new URLSearchParams({ client_id: client, response_type: "code", redirect_uri: CALLBACK, scope: "openid" });
    const form = await fetch(`${endpoints.authorization_endpoint}?${asked}`, {
      method: "POST", body: new URLSearchParams({ sub: user }), redirect: "manual",
    });
    const code = new URL(form.headers.get("location")).searchParams.get("code");
    const body = new URLSearchParams({
      client_id: client, client_secret: "any", code, grant_type: "authorization_code", redirect_uri: CALLBACK,
    });
    const answer = await (await fetch(endpoints.token_endpoint, { method: "POST", body })).json();
    assert.equal(typeof answer.id_token, "string", JSON.stringify(answer));
    return answer.id_token;
  };
}

// I07: a revocation matches any element of an array.
test("oidc-provider-mock: tokens are revoked by their audience, an array", async () => {
  const [app, web] = [await (await login("judy@acme", "web", "app"))(), await (await login("judy@acme"))()];
  assert.deepEqual(claimsOf(app).aud, ["app"]);
  await system.accepts(app, web);
  await system.revoke({ claims: { aud: "app" } });
  await system.refuses(app, "revoked_claims");
  await system.accepts(web);
});

revocationsOf("oidc-provider-mock", () => system, {
  login, claims: { application: "department" }, lost: "bad_signature",
  rotate: async () => {
    await provider.close();
    provider = await start();
  },
});

// Keys have ids although the tokens do not name them.
test("oidc-provider-mock: a key is revoked by its id in the key set", async () => {
  const token = await (await login("ken@acme"))();
  await system.accepts(token, await system.ownToken());
  const { keys: [{ kid }] } = await (await fetch(endpoints.jwks_uri)).json();
  await system.revoke({ kid });
  await system.refuses(token, "revoked_key");
});
