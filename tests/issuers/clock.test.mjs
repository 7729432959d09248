// A provider whose clock differs from the control plane's: oidc-provider (npm) under libfaketime. Cut-offs are
// times of the provider's clock.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/control-plane.mjs";
import { fakedClock, withoutFaketime } from "../support/faketime.mjs";
import { until } from "../support/feed.mjs";
import { discover, startProgram } from "./program.mjs";
import { claimsOf, startSystem } from "./system.mjs";

const PROGRAM = fileURLToPath(new URL("oidc-provider-program.mjs", import.meta.url));
const SECRET = "a secret of app";
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const keys = [{ ...privateKey.export({ format: "jwk" }), alg: "RS256", kid: "one", use: "sig" }];
const faked = { skip: withoutFaketime, timeout: 60_000 };
/** `clock_skew_seconds`; the default is 5. */
const MARGIN = 3;

/** Runs `work` with a provider whose clock is off by this many seconds. */
async function withClock(seconds, work) {
  const port = await freePort();
  const issuer = `http://127.0.0.1:${port}`;
  const settings = JSON.stringify({ port, keys, clients: [["app", SECRET]] });
  const offset = `${seconds < 0 ? "" : "+"}${seconds}s`;
  const wellKnown = `${issuer}/.well-known/openid-configuration`;
  const provider = await startProgram(process.execPath, [PROGRAM, settings], wellKnown, fakedClock(offset));
  const { jwks_uri: jwks, token_endpoint: endpoint } = await discover(issuer);
  const definition = { issuer, algorithms: ["RS256"], horizon_seconds: 600, clock_skew_seconds: MARGIN };
  const system = await startSystem(definition, {
    issuer, audience: "api", keys: jwks, algorithms: ["RS256"], types: ["at+jwt"],
    requiredClaims: ["exp", "iat", "sub", "jti"],
  });
  const login = async () => {
    const body = new URLSearchParams({
      grant_type: "client_credentials", client_id: "app", client_secret: SECRET, resource: "https://api.test",
    });
    const token = (await (await fetch(endpoint, { method: "POST", body })).json()).access_token;
    const ahead = claimsOf(token).iat - Date.now() / 1000;
    assert.ok(Math.abs(ahead - seconds) < 2, `the clock is faked: ${ahead}`);
    return token;
  };
  try {
    await work(system, login);
  } finally {
    await system.close();
    await provider.close();
  }
}

/** A login is accepted within this many seconds, and not before the earliest. */
async function isAcceptedWithin(system, login, earliest, latest) {
  const began = Date.now();
  const accepted = async () => (await system.codes(await login())).every((code) => code === "valid");
  assert.ok(await until(accepted, latest), `no login is accepted within ${latest} s`);
  const took = (Date.now() - began) / 1000;
  assert.ok(took >= earliest, `accepted after ${took} s`);
}

for (const seconds of [MARGIN - 1, 1 - MARGIN]) {
  // I08: the request gives no time of the provider's clock, so the margin decides.
  test(`a token from a clock that is ${seconds} s off is revoked within the margin`, faked, () =>
    withClock(seconds, async (system, login) => {
      const before = await login();
      await system.accepts(before);
      await system.revoke({ claims: { client_id: "app" } });
      await system.refuses(before, "revoked_claims");
      // Until the provider's clock has passed the cut-off, which is the margin and a second ahead of ours.
      await isAcceptedWithin(system, login, MARGIN - seconds - 2, MARGIN - seconds + 8);
    }));

  // I08: the given time is of the provider's clock: no older token passes, and no login waits for a margin.
  test(`the time of a clock that is ${seconds} s off is used unchanged`, faked, () =>
    withClock(seconds, async (system, login) => {
      const before = await login();
      await system.accepts(before);
      await system.revoke({ sub: claimsOf(before).sub, issued_before: claimsOf(before).iat + 1 });
      await system.refuses(before, "revoked_user");
      await isAcceptedWithin(system, login, 0, 4);
    }));
}
