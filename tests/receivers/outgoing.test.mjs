// Applications with sessions of their own hear of a logout at Offswitch: express-openid-connect with its
// back-channel logout as it is, and a receiver of security events whose tokens jose verifies. L02.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import express from "express";
import openid from "express-openid-connect";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { startControlPlane } from "../support/control-plane.mjs";

const SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const LOGOUTS = Number(process.env.LOGOUTS ?? 20);
const plane = await startControlPlane({ OFFSWITCH_TOKEN_ALGORITHM: "ES256" });
const open = [() => plane.close()];
after(async () => {
  for (const close of open.reverse()) await close();
});
const keys = createRemoteJWKSet(new URL(`${plane.url}/.well-known/jwks.json`));

async function listen(handler) {
  const server = createServer(handler);
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  open.push(() => new Promise((closed) => {
    server.close(closed);
    server.closeAllConnections();
  }));
  return `http://127.0.0.1:${server.address().port}`;
}

/** An application that makes a session of its own out of an access token, and ends it by logout tokens. */
async function startShop() {
  const sessions = new Map();
  const heard = [];
  const application = express();
  application.use(openid.auth({
    issuerBaseURL: `${plane.url}/.well-known/oauth-authorization-server`,
    baseURL: "http://shop.invalid", clientID: "shop", secret: "a secret of the test, long enough for it",
    authRequired: false, idTokenSigningAlg: "ES256",
    routes: { login: false, logout: false },
    backchannelLogout: {
      isLoggedOut: false,
      onLogin: false,
      onLogoutToken: ({ sid, sub, jti }) => {
        heard.push({ jti, sid, sub });
        for (const [id, session] of sessions) {
          if (sid === undefined ? session.sub === sub : session.sid === sid) sessions.delete(id);
        }
      },
    },
  }));
  application.post("/session", async (request, response) => {
    const token = request.headers.authorization.slice("Bearer ".length);
    const { payload } = await jwtVerify(token, keys, { issuer: plane.url, audience: "api", typ: "at+jwt" });
    sessions.set(`cookie-${sessions.size}-${payload.sid}`, { sid: payload.sid, sub: payload.sub });
    response.json([...sessions.keys()].at(-1));
  });
  application.get("/me", (request, response) => {
    response.sendStatus(sessions.has(request.headers.cookie) ? 200 : 401);
  });
  const url = await listen(application);
  return {
    heard, url,
    enter: async (accessToken) => {
      const headers = { authorization: `Bearer ${accessToken}` };
      return (await fetch(`${url}/session`, { method: "POST", headers })).json();
    },
    ask: async (cookie) => (await fetch(`${url}/me`, { headers: { cookie } })).status,
  };
}

const logIn = (sub) => plane.call("POST", "/v1/sessions", { sub });
const state = async (name) => {
  const { relying_parties: all } = await plane.call("GET", "/v1/status");
  return all.find((one) => one.name === name);
};
async function until(isSo, what) {
  for (const end = Date.now() + 20_000; !(await isSo());) {
    assert.ok(Date.now() < end, what);
    await new Promise((resume) => setTimeout(resume, 5));
  }
}

const shop = await startShop();

// L02: `LOGOUTS=200` measures how long it takes.
test("a logout at Offswitch ends the application's own session, and no other of the user", async (context) => {
  await plane.call("PUT", "/v1/relying-parties/shop", {
    audience: "shop", backchannel_logout_uri: `${shop.url}/backchannel-logout`,
    backchannel_logout_session_required: true,
  });
  const other = await logIn("alice");
  const stays = await shop.enter(other.access_token);
  const milliseconds = [];
  for (let number = 0; number < LOGOUTS; number += 1) {
    const session = await logIn("alice");
    const cookie = await shop.enter(session.access_token);
    assert.equal(await shop.ask(cookie), 200);
    await plane.call("DELETE", `/v1/sessions?sub=alice&session_id=${session.session_id}`);
    const begin = performance.now();
    await until(async () => (await shop.ask(cookie)) === 401, "the session of the application goes on");
    milliseconds.push(performance.now() - begin);
  }
  milliseconds.sort((one, next) => one - next);
  const at = (share) => milliseconds[Math.ceil(share * LOGOUTS) - 1].toFixed(0);
  context.diagnostic(`${LOGOUTS} logouts, answered to ended: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`);
  assert.equal(await shop.ask(stays), 200, "another login of the same user stays");
  assert.ok(shop.heard.every(({ sub }) => sub === undefined), "it finds sessions by sid");
  await until(async () => (await state("shop")).delivered === LOGOUTS, "each is counted");
  const { refused, last_error: error } = await state("shop");
  assert.deepEqual([refused, error], [0, undefined]);
  // The user as a whole.
  await plane.call("POST", "/v1/revocations", { sub: "alice" });
  await until(async () => (await shop.ask(stays)) === 401, "the session of the user goes on");
});

// L02, L04: what the library refuses is final, and says so.
test("a logout token for another client is refused by the library, and shown", async () => {
  await plane.call("PUT", "/v1/relying-parties/wrong", {
    audience: "another-client", backchannel_logout_uri: `${shop.url}/backchannel-logout`,
  });
  await logIn("bob");
  await plane.call("DELETE", "/v1/sessions?sub=bob");
  await until(async () => (await state("wrong")).refused === 1, "it is not refused");
  assert.equal((await state("wrong")).last_error.detail, "answers 400, invalid_request");
});

// L02: RFC 8417, RFC 8935, CAEP: verified by a library that knows nothing of Offswitch.
test("a security event arrives by push, and jose accepts it", async () => {
  const events = [];
  const url = await listen(async (request, response) => {
    let text = "";
    for await (const piece of request) text += piece;
    const { payload } = await jwtVerify(text, keys, {
      issuer: plane.url, audience: "https://crm.example", typ: "secevent+jwt", algorithms: ["ES256"],
      requiredClaims: ["iat", "jti", "events", "sub_id"],
    });
    events.push([request.headers["content-type"], payload]);
    response.writeHead(202).end();
  });
  await plane.call("PUT", "/v1/relying-parties/crm", { audience: "https://crm.example", endpoint_url: url });
  const session = await logIn("carol");
  await plane.call("DELETE", "/v1/sessions?sub=carol");
  await until(() => events.length > 0, "no event");
  const [type, payload] = events[0];
  assert.equal(type, "application/secevent+jwt");
  assert.deepEqual(payload.sub_id, {
    format: "complex",
    session: { format: "opaque", id: session.session_id },
    user: { format: "iss_sub", iss: plane.url, sub: "carol" },
  });
  assert.deepEqual(Object.keys(payload.events), [SESSION_REVOKED]);
  assert.deepEqual([payload.sub, payload.exp], [undefined, undefined]);
});
