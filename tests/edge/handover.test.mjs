// Login by cookie: what the browser gets and what the upstream gets. Real workerd.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { request as httpRequest } from "node:http";
import { after, test } from "node:test";
import { mint, sign, signingKey } from "../support/fixture.mjs";
import { API_KEY, Browser, codeOf, handleOf, handoverSettings, playHandover, problem } from "../support/handover.mjs";
import { asked, startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4 }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
const plane = playHandover(stub, key);
const edge = await startEdge(stub, publicKey, handoverSettings(stub));
after(async () => {
  await edge.close();
  await stub.close();
});
const plain = (_, response) => void response.end("fine");
const CLEARED = "__Host-offswitch=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0";
const last = (path) => stub.requests.findLast((one) => one.path === path);

// A02: scripts, other sites and plain connections cannot get the cookie.
test("a login sets the cookie with exactly these attributes and returns nothing else", async () => {
  const browser = new Browser(edge.url);
  const { status, headers, body, setCookies } = await browser.login("attributes");
  assert.deepEqual([status, body, headers.get("cache-control")], [204, "", "no-store"]);
  assert.equal(setCookies.length, 1);
  const [cookie, age] = setCookies[0].split("; Max-Age=");
  const handle = handleOf("attributes");
  assert.equal(cookie, `__Host-offswitch=${handle}; Path=/; Secure; HttpOnly; SameSite=Lax`);
  assert.ok(Number(age) > 86_000 && Number(age) <= 86_400, age);
  assert.equal(last("/handover/login").headers.authorization, `Bearer ${API_KEY}`);
  assert.deepEqual(JSON.parse(last("/handover/login").body), { code: codeOf("attributes") });
  browser.assertNoToken(plane);
});

// The upstream sees a bearer token, the browser never does.
test("the upstream gets the token and the claims instead of the cookie", async () => {
  const browser = new Browser(edge.url);
  await browser.login("trade");
  stub.upstream = plain;
  browser.cookie = `a=1;  b="x, y" ;${browser.cookie}; c=%20=; __Host-offswitch2=z`;
  const answer = await browser.fetch("/path", { method: "PUT", body: "the body" });
  assert.deepEqual([answer.status, answer.body, answer.setCookies], [200, "fine", []]);
  const { headers, body } = last("/up/path");
  assert.equal(headers.authorization, `Bearer ${plane.issued.at(-1)}`);
  assert.equal(headers.cookie, 'a=1;  b="x, y" ; c=%20=; __Host-offswitch2=z');
  assert.equal(JSON.parse(Buffer.from(headers["offswitch-claims"], "base64url")).sid, "trade");
  assert.equal(body, "the body");
  browser.cookie = `__Host-offswitch=${handleOf("trade")}`;
  await browser.fetch("/path");
  assert.equal(last("/up/path").headers.cookie, undefined);
  assert.equal(asked(stub, "/handover/token"), 0, "the login's token is used");
  browser.assertNoToken(plane);
  stub.upstream = undefined;
});

// An upstream that echoes the request in its headers, and one that sets a cookie with our name.
test("an upstream can neither send the token to the browser nor change the cookie", async () => {
  const browser = new Browser(edge.url);
  await browser.login("leaky");
  const { cookie } = browser;
  stub.upstream = ({ headers: { authorization } }, response) => {
    response.setHeader("authorization", authorization);
    response.setHeader("x-echo", `it was ${authorization}`);
    response.setHeader("set-cookie", [
      "own=1", "__Host-offswitch=; Path=/; Max-Age=0", " __Host-offswitch = x", "=__Host-offswitch=x",
    ]);
    response.end("fine");
  };
  const answer = await browser.fetch("/leaky");
  assert.equal(answer.body, "fine");
  assert.deepEqual(answer.setCookies, ["own=1"]);
  assert.equal(answer.headers.get("authorization"), null);
  browser.assertNoToken(plane);
  const bearer = { authorization: `Bearer ${await mint(key)}` };
  browser.cookie = cookie;
  assert.deepEqual((await browser.fetch("/leaky", { headers: bearer })).setCookies, ["own=1"]);
  assert.equal(last("/up/leaky").headers.cookie, undefined);
  stub.upstream = undefined;
});

test("a bearer token wins over the cookie", async () => {
  const browser = new Browser(edge.url);
  await browser.login("loser");
  stub.upstream = plain;
  const token = await mint(key, { sub: "bob" });
  const good = await browser.fetch("/who", { headers: { authorization: `Bearer ${token}` } });
  assert.equal(good.status, 200);
  assert.equal(last("/up/who").headers.authorization, `Bearer ${token}`);
  const bad = await browser.fetch("/who", { headers: { authorization: "Bearer nonsense" } });
  assert.deepEqual([bad.status, bad.code], [401, "malformed"]);
  stub.upstream = undefined;
});

test("the page can query the login, and gets exactly four members", async () => {
  const browser = new Browser(edge.url);
  assert.equal((await browser.post("/auth/session")).code, "missing_token");
  await browser.login("session");
  const { status, headers, body } = await browser.post("/auth/session");
  assert.deepEqual([status, headers.get("cache-control")], [200, "no-store"]);
  const session = JSON.parse(body);
  const names = ["expires_at", "session_expires_at", "session_id", "sub"];
  assert.deepEqual(Object.keys(session).sort(), names);
  assert.deepEqual([session.sub, session.session_id], ["alice", "session"]);
  assert.ok(session.expires_at < session.session_expires_at);
  browser.assertNoToken(plane);
});

// F10: the cookie is cleared only if the session has durably ended.
test("a logout clears the cookie only if the control plane has ended the session", async () => {
  const browser = new Browser(edge.url);
  await browser.login("leaving");
  plane.instead = (_path, _body, response) => problem(response, 503, "store_unavailable");
  const failed = await browser.post("/auth/logout");
  assert.deepEqual([failed.status, failed.code], [503, "control_plane_unreachable"]);
  assert.deepEqual(failed.setCookies, []);
  assert.equal(failed.headers.get("retry-after"), "1");
  plane.instead = undefined;
  assert.equal((await browser.fetch("/still")).status, 200);
  browser.answers.pop(); // the stub's echo of the token
  const { cookie } = browser;
  const done = await browser.post("/auth/logout");
  assert.equal(done.status, 204);
  assert.deepEqual(done.setCookies, [CLEARED]);
  assert.equal(browser.cookie, undefined);
  // Another tab sends the cookie immediately afterwards: the token in memory is not used any more.
  browser.cookie = cookie;
  const after = await browser.fetch("/gone");
  assert.deepEqual([after.status, after.code, after.setCookies], [401, "session_ended", []]);
  // D02: the session has ended before, or is unknown: this logout has ended nothing.
  for (const [status, code] of [[400, "invalid_handle"], [410, "session_ended"]]) {
    browser.cookie = cookie;
    plane.instead = (_path, _body, response) => problem(response, status, code);
    const ended = await browser.post("/auth/logout");
    assert.deepEqual([ended.status, ended.code, ended.setCookies], [status, code, [CLEARED]]);
  }
  plane.instead = undefined;
  browser.assertNoToken(plane);
});

test("a login is refused for a spent code, and for malformed bodies", async () => {
  const browser = new Browser(edge.url);
  await browser.login("spent");
  const again = await browser.post("/auth/login", { code: codeOf("spent") });
  assert.deepEqual([again.status, again.code, again.setCookies], [400, "invalid_code", []]);
  const before = asked(stub, "/handover/login");
  const json = { "content-type": "application/json", "offswitch-csrf": "1" };
  const cases = [
    [400, "invalid_code", { headers: json, body: '{"code":"osc_short"}' }],
    [400, "invalid_request", { headers: json, body: '{"code":1}' }],
    [400, "invalid_request", { headers: json, body: "[]" }],
    [400, "invalid_request", { headers: json, body: "{" }],
    [400, "invalid_request", { headers: json }],
    [400, "invalid_request", { headers: json, body: `{"code":"${"x".repeat(10_000)}"}` }],
    [415, "unsupported_media_type", { headers: { "offswitch-csrf": "1" }, body: '{"code":"x"}' }],
  ];
  for (const [status, code, init] of cases) {
    const answer = await browser.fetch("/auth/login", { method: "POST", ...init });
    assert.deepEqual([answer.status, answer.code, answer.setCookies], [status, code, []]);
  }
  assert.equal(asked(stub, "/handover/login"), before);
});

// D02: the cookie's name is compared byte by byte; a refused request reaches no server behind the worker.
test("a cookie that is malformed, there twice or of another name lets no request through", async () => {
  const browser = new Browser(edge.url);
  await browser.login("shape");
  const { cookie } = browser;
  const before = stub.requests.length;
  const cases = {
    ambiguous_cookie: [`${cookie}; ${cookie}`, `${cookie}; __Host-offswitch=x`, `${cookie};${cookie}`],
    invalid_cookie: [
      `${cookie}, a=1`, "__Host-offswitch=", "__Host-offswitch=osh_short", `${cookie}\t; a=1`,
      `__Host-offswitch=${"x".repeat(43)}`, `__Host-offswitch="${handleOf("shape")}"`,
      `__Host-offswitch= ${handleOf("shape")}`, `__Host-offswitch=osh_${"x".repeat(201)}`,
    ],
    missing_token: [
      `a=1, ${cookie}`, `__host-offswitch=${handleOf("shape")}`, `__Host-offswitch =${handleOf("shape")}`,
      `a=1;  ${cookie}`, `a=1;\t${cookie}`, `=${cookie}`, "__Host-offswitch",
    ],
  };
  for (const [code, headers] of Object.entries(cases)) {
    for (const header of headers) {
      browser.cookie = header;
      const answer = await browser.fetch("/shape");
      assert.deepEqual([answer.status, answer.code], [401, code], header);
    }
  }
  const reached = stub.requests.slice(before).filter((one) => one.path !== "/feed");
  assert.deepEqual(reached, []);
});

// D02: a logout without a session reports that, and still removes the cookie.
test("a logout without a session is a problem, and clears the cookie all the same", async () => {
  const browser = new Browser(edge.url);
  const cookie = `__Host-offswitch=${handleOf("leaves")}`;
  const cases = {
    no_session: [undefined, "a=1", `\u00a0${cookie}`],
    ambiguous_cookie: [`${cookie}; ${cookie}`],
    invalid_cookie: ["__Host-offswitch=x"],
  };
  const before = asked(stub, "/handover/logout");
  for (const [code, headers] of Object.entries(cases)) {
    for (const header of headers) {
      browser.cookie = header;
      const answer = await browser.post("/auth/logout");
      assert.deepEqual([answer.status, answer.code, answer.setCookies], [400, code, [CLEARED]], header);
    }
  }
  assert.equal(asked(stub, "/handover/logout"), before);
});

// A WebSocket handshake is a response too, with a socket instead of a body.
test("a WebSocket opens with the cookie from our own origin", async () => {
  const browser = new Browser(edge.url);
  await browser.login("socket");
  stub.upgrade = ({ headers }, socket) => {
    const accept = createHash("sha1")
      .update(`${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
      + `sec-websocket-accept: ${accept}\r\nset-cookie: __Host-offswitch=x\r\n`
      + `x-echo: ${headers.authorization}\r\n\r\n`);
    return socket;
  };
  const { hostname, port } = new URL(edge.url);
  const headers = {
    connection: "Upgrade", upgrade: "websocket", origin: edge.url, cookie: browser.cookie,
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13",
  };
  const opened = await new Promise((resolve, reject) => {
    const sent = httpRequest({ host: hostname, port, path: "/socket", headers });
    sent.on("response", (response) => reject(new Error(`status ${response.statusCode}`)));
    sent.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response);
    });
    sent.on("error", reject).end();
  });
  assert.equal(opened.statusCode, 101);
  assert.doesNotMatch(JSON.stringify(opened.rawHeaders), /eyJ|__Host/);
  assert.equal(last("/up/socket").headers.authorization, `Bearer ${plane.issued.at(-1)}`);
});

test("without a handover there are no cookies, and the error names all wrong settings", async () => {
  const without = await startEdge(stub, publicKey);
  const cookie = `__Host-offswitch=${handleOf("none")}`;
  const headers = { cookie, origin: without.url, "offswitch-csrf": "1" };
  const answer = await fetch(`${without.url}/auth/session`, { method: "POST", headers });
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "missing_token"]);
  await without.close();
  const wrong = await startEdge(stub, publicKey, {
    OFFSWITCH_HANDOVER_URL: `${stub.url}/handover`, OFFSWITCH_AUTH_PATH: "/a/../b",
  });
  const refused = await fetch(wrong.url, { headers });
  assert.deepEqual([refused.status, (await refused.json()).code], [503, "misconfigured"]);
  await wrong.close();
});
