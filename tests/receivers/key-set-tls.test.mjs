// The key set of an issuer over TLS: with an authority that the system knows, and with one that it does not. I10.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { startControlPlane } from "../support/control-plane.mjs";

const file = (name) => fileURLToPath(new URL(`tls/${name}`, import.meta.url));
const { privateKey, publicKey } = await generateKeyPair("ES256");
const jwk = { ...(await exportJWK(publicKey)), kid: "k", use: "sig" };
const server = createServer({ cert: await readFile(file("localhost.pem")), key: await readFile(file("localhost.key")) },
  (request, response) => {
    if (request.url === "/moved") return void response.writeHead(302, { location: "/jwks" }).end();
    const body = request.url === "/jwks"
      ? { keys: [jwk] }
      : { issuer, jwks_uri: request.url.startsWith("/plain") ? "http://127.0.0.1:1/jwks" : `${issuer}/jwks` };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
const issuer = `https://localhost:${server.address().port}`;
const open = [];
after(async () => {
  for (const one of open) await one.close();
  server.closeAllConnections();
  server.close();
});

async function start(environment) {
  const plane = await startControlPlane(environment);
  open.push(plane);
  return plane;
}

/** Status and code after a good logout token. */
async function logOut(plane, more = {}) {
  const receivers = { backchannel_logout: { client_ids: ["app"] } };
  await plane.call("PUT", "/v1/issuers/idp", { issuer, algorithms: ["ES256"], receivers, ...more });
  const token = await new SignJWT({ sid: "s", events: { "http://schemas.openid.net/event/backchannel-logout": {} } })
    .setProtectedHeader({ alg: "ES256", kid: "k", typ: "logout+jwt" })
    .setIssuer(issuer).setAudience("app").setIssuedAt().setExpirationTime("2m").setJti(crypto.randomUUID())
    .sign(privateKey);
  const answer = await fetch(`${plane.url}/v1/receivers/idp/backchannel-logout`, {
    method: "POST", body: new URLSearchParams({ logout_token: token }),
  });
  const text = await answer.text();
  const { issuers: [one] } = await plane.call("GET", "/v1/status");
  return [answer.status, text && JSON.parse(text).error_description, one.receivers[0].last_error?.detail];
}

test("a certificate of a known authority is accepted", async () => {
  const plane = await start({ SSL_CERT_FILE: file("ca.pem") });
  assert.deepEqual(await logOut(plane), [200, "", undefined]);
  // Neither a redirect nor a document leads to another address without TLS.
  const [status, code, detail] = await logOut(plane, { jwks_uri: `${issuer}/moved` });
  assert.deepEqual([status, code], [503, "keys_unavailable"]);
  assert.match(detail, /answers 302/);
  const plain = await logOut(plane, { discovery_uri: `${issuer}/plain` });
  assert.match(plain[2], /the jwks_uri of the discovery document is "http:\/\/127\.0\.0\.1:1\/jwks", expected https/);
});

test("a certificate of an unknown authority is not: 503, and nothing is decided", async () => {
  const [status, code, detail] = await logOut(await start({}));
  assert.deepEqual([status, code], [503, "keys_unavailable"]);
  assert.match(detail, /certificate/i);
});
