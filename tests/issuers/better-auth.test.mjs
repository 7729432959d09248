// better-auth (npm): tokens of its plugin jwt, EdDSA, without jti; the session's id is a nested claim that the
// application defines.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/control-plane.mjs";
import { startProgram } from "./program.mjs";
import { revocationsOf } from "./revocations.mjs";
import { startSystem } from "./system.mjs";

const PROGRAM = fileURLToPath(new URL("better-auth-program.mjs", import.meta.url));
const port = await freePort();
const issuer = `http://127.0.0.1:${port}`;
const jwks = `${issuer}/api/auth/jwks`;
let provider;
let system;

before(async () => {
  provider = await startProgram(process.execPath, [PROGRAM, String(port), "EdDSA"], jwks);
  const definition = { issuer, jwks_uri: jwks, algorithms: ["EdDSA"], session_id_claim: "/session/id", horizon_seconds: 600 };
  system = await startSystem(definition, {
    issuer, audience: "api", keys: jwks, algorithms: ["EdDSA"], types: [null], requiredClaims: ["exp", "iat", "sub"],
  });
});
after(async () => {
  await system?.close();
  await provider?.close();
});

const call = async (path, init) => {
  const answer = await fetch(`${issuer}/api/auth/${path}`, init);
  assert.equal(answer.status, 200, `${path}: ${answer.status}`);
  return answer;
};

/** Signs a user up at the first login; the `user-agent` distinguishes applications. */
async function login(email, application = "web") {
  const headers = { "content-type": "application/json", origin: issuer, "user-agent": application };
  const post = (path, more) => call(path, {
    method: "POST", headers, body: JSON.stringify({ email: `${email}.test`, password: "a long password", ...more }),
  });
  if (!known.has(email)) await post("sign-up/email", { name: email });
  known.add(email);
  const session = (await post("sign-in/email")).headers.get("set-auth-token");
  return async () =>
    (await (await call("token", { headers: { ...headers, authorization: `Bearer ${session}` } })).json()).token;
}
const known = new Set();

async function rotate() {
  provider.tell("rotate");
  await new Promise((resume) => setTimeout(resume, 50));
}

revocationsOf("better-auth", () => system, {
  login, rotate, claims: { session: "/session/id", application: "client" },
});
