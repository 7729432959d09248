// A logout at a real better-auth is refused at a real edge: its plugin posts a signed webhook when a session is
// deleted, and a guarded Worker in workerd follows the feed by long poll. I13.

import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { startProgram } from "../issuers/program.mjs";
import { freePort, startControlPlane } from "../support/control-plane.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const LOGOUTS = Number(process.env.LOGOUTS ?? 10);
const PROGRAM = fileURLToPath(new URL("../issuers/better-auth-program.mjs", import.meta.url));
const secret = `whsec_${Buffer.from("b".repeat(24)).toString("base64")}`;
const folder = await mkdtemp(join(tmpdir(), "offswitch-secrets-"));
const file = join(folder, "secrets.toml");
await writeFile(file, `better = "${secret}"\n`);
await chmod(file, 0o600);
const plane = await startControlPlane({ OFFSWITCH_RECEIVER_SECRETS_FILE: file });
const issuer = `http://127.0.0.1:${await freePort()}`;
const jwks = `${issuer}/api/auth/jwks`;
const provider = await startProgram(process.execPath, [PROGRAM, new URL(issuer).port, "EdDSA"], jwks, {
  WEBHOOK_URL: `${plane.url}/v1/receivers/better/webhook`, WEBHOOK_SECRET: secret,
});
await plane.call("PUT", "/v1/issuers/better", {
  issuer, jwks_uri: jwks, algorithms: ["EdDSA"], session_id_claim: "/session/id", horizon_seconds: 600,
  receivers: { webhook: { events: { "session.deleted": { session: "/data/id" } } } },
});
const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
const edge = await startWorkerd("tests/receivers/worker-entry.mjs", {
  OPTIONS: JSON.stringify({
    issuer, audience: "api", keys: jwks, algorithms: ["EdDSA"], types: [null], requiredClaims: ["exp", "iat", "sub"],
    feed: { url: `${plane.url}/v1/feed`, id: plane.url, publicKeys, apiKey: plane.apiKey, follow: "long-poll" },
  }),
});
after(async () => {
  await edge.close();
  await provider.close();
  await plane.close();
  await rm(folder, { recursive: true });
});

const headers = { "content-type": "application/json", origin: issuer };
const call = async (path, init) => {
  const answer = await fetch(`${issuer}/api/auth/${path}`, init);
  assert.equal(answer.status, 200, `${path}: ${answer.status} ${provider.log()}`);
  return answer;
};
const post = (path, body, more) => call(path, { method: "POST", headers: { ...headers, ...more }, body: JSON.stringify(body) });

/** A login: its access token, and how it ends. */
async function login(email) {
  const answer = await post("sign-in/email", { email, password: "a long password" });
  const authorization = `Bearer ${answer.headers.get("set-auth-token")}`;
  const { token } = await (await call("token", { headers: { ...headers, authorization } })).json();
  return { token, authorization, logout: () => post("sign-out", {}, { authorization }) };
}

async function ask({ token }) {
  const answer = await fetch(edge.url, { headers: { authorization: `Bearer ${token}` } });
  return [answer.status, (await answer.json()).code];
}

async function refused(session) {
  for (;;) {
    const [status, code] = await ask(session);
    if (status === 401) return code;
    assert.equal(status, 200, code);
  }
}

for (const email of ["alice@acme.test", "bob@acme.test"]) {
  await post("sign-up/email", { email, name: email, password: "a long password" });
}

test("a logout at better-auth is refused at the edge, that session and no other", async (context) => {
  const [other, bob] = [await login("alice@acme.test"), await login("bob@acme.test")];
  for (const session of [other, bob]) assert.deepEqual(await ask(session), [200, undefined]);
  const milliseconds = [];
  for (let number = 0; number < LOGOUTS; number += 1) {
    const session = await login("alice@acme.test");
    assert.deepEqual(await ask(session), [200, undefined]);
    await session.logout();
    const begin = performance.now();
    assert.equal(await refused(session), "revoked_session");
    milliseconds.push(performance.now() - begin);
  }
  for (const session of [other, bob]) assert.deepEqual(await ask(session), [200, undefined]);
  milliseconds.sort((one, next) => one - next);
  const at = (share) => milliseconds[Math.ceil(share * LOGOUTS) - 1].toFixed(0);
  context.diagnostic(`${LOGOUTS} logouts, answered to refused: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
  const { issuers } = await plane.call("GET", "/v1/status");
  const [receiver] = issuers.find(({ name }) => name === "better").receivers;
  assert.deepEqual([receiver.accepted, receiver.failed], [LOGOUTS, 0]);
});

test("the user ends all other sessions, and the one that did it stays", async () => {
  const [first, second, third] = [await login("bob@acme.test"), await login("bob@acme.test"), await login("bob@acme.test")];
  for (const session of [first, second, third]) assert.deepEqual(await ask(session), [200, undefined]);
  await post("revoke-other-sessions", {}, { authorization: third.authorization });
  for (const session of [first, second]) assert.equal(await refused(session), "revoked_session");
  assert.deepEqual(await ask(third), [200, undefined]);
});
