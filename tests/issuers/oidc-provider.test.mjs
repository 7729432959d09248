// oidc-provider (npm): JWT access tokens of RFC 9068 for a resource, RS256, by authorization code and by client
// credentials.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/control-plane.mjs";
import { Browser, discover, startProgram } from "./program.mjs";
import { revocationsOf } from "./revocations.mjs";
import { claimsOf, startSystem } from "./system.mjs";

const PROGRAM = fileURLToPath(new URL("oidc-provider-program.mjs", import.meta.url));
const RESOURCE = "https://api.test";
const CALLBACK = "http://127.0.0.1/callback";
const CLIENTS = [["web", "a secret of web"], ["app", "a secret of app"]];
const secretOf = Object.fromEntries(CLIENTS);
const keys = [newKey("first")];
const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;
let endpoints;
let provider;
let system;

function newKey(kid) {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), alg: "RS256", kid, use: "sig" };
}

const start = () => startProgram(process.execPath, [PROGRAM, JSON.stringify({ port, keys, clients: CLIENTS })],
  `${issuer}/.well-known/openid-configuration`);

before(async () => {
  provider = await start();
  endpoints = await discover(issuer);
  assert.equal(endpoints.issuer, issuer);
  system = await startSystem({ issuer, algorithms: ["RS256"], horizon_seconds: 600 }, {
    issuer, audience: "api", keys: endpoints.jwks_uri, algorithms: ["RS256"], types: ["at+jwt"],
    requiredClaims: ["exp", "iat", "sub", "jti"],
  });
});
after(async () => {
  await system?.close();
  await provider?.close();
});

async function tokens(client, fields) {
  const body = new URLSearchParams({ client_id: client, client_secret: secretOf[client], resource: RESOURCE, ...fields });
  const answer = await (await fetch(endpoints.token_endpoint, { method: "POST", body })).json();
  assert.equal(typeof answer.access_token, "string", JSON.stringify(answer));
  return answer;
}

/** Logs a user in with a browser, through the forms of devInteractions; the browser has the session. */
async function visit(user, client = "web") {
  const browser = new Browser();
  return async () => {
    const verifier = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
    const asked = new URLSearchParams({
      client_id: client, response_type: "code", redirect_uri: CALLBACK, scope: "openid read", resource: RESOURCE,
      code_challenge: Buffer.from(hash).toString("base64url"), code_challenge_method: "S256",
    });
    let at = await browser.go(`${endpoints.authorization_endpoint}?${asked}`);
    for (const fields of [{ prompt: "login", login: user, password: "any" }, { prompt: "consent" }]) {
      if (!at.url.startsWith(CALLBACK)) at = await browser.post(at.url, fields);
    }
    const code = new URL(at.url).searchParams.get("code");
    return tokens(client, { grant_type: "authorization_code", code, code_verifier: verifier, redirect_uri: CALLBACK });
  };
}

async function login(user, client) {
  const session = await visit(user, client);
  return async () => (await session()).access_token;
}

/** Restarts the provider with a new key that signs; it publishes the previous one too. */
async function rotate() {
  keys.unshift(newKey("second"));
  await provider.close();
  provider = await start();
}

// I04: a token of an application has no user and no session.
test("oidc-provider: the token of an application is revoked by its client", async () => {
  const of = async (client) => (await tokens(client, { grant_type: "client_credentials", scope: "read" })).access_token;
  const [first, other] = [await of("web"), await of("app")];
  const { iss, aud, sub, client_id: client, sid } = claimsOf(first);
  assert.deepEqual([iss, aud, sub, client, sid], [issuer, "api", "web", "web", undefined]);
  await system.accepts(first, other);
  await system.revoke({ sub: "web" });
  await system.refuses(first, "revoked_user");
  await system.accepts(other);
});

// I04: the same key signs ID tokens, for another purpose.
test("oidc-provider: its ID token is not accepted as an access token", async () => {
  const { access_token: token, id_token: idToken } = await (await visit("ivan@acme"))();
  await system.accepts(token);
  await system.refuses(idToken, "wrong_type");
});

revocationsOf("oidc-provider", () => system, {
  login, rotate, claims: { token: "jti", session: "sid", application: "client_id" },
});
