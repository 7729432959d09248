// How the edge worker gets the next access token for a browser: with one request and with many,
// with a control plane that is slow, down or hostile. Real workerd.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { Browser, handleOf, handoverSettings, playHandover, problem } from "../support/handover.mjs";
import { asked, json, startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA", "old");
const newKey = await signingKey("EdDSA", "new");
const issuer = "https://issuer.test";
const { publicKey, snapshots: [base, sessionGone, redButton] } = sign([
  { to: 2 },
  { from: 2, to: 3, sessions: ["lost"] },
  { from: 2, to: 3, dead_keys: [{ issuer, kid: "old" }] },
]);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(more = {}) {
  const stub = await startStub({ jwks: { keys: [key.jwk, newKey.jwk] }, snapshot: base });
  stub.upstream = (_, response) => void response.end("fine");
  const plane = playHandover(stub, key);
  const edge = await startEdge(stub, publicKey, { ...handoverSettings(stub), ...more });
  open.push(edge, stub);
  return { stub, plane, edge, browser: new Browser(edge.url) };
}

/** A browser that logged in before this isolate started: it sends a cookie and nothing else. */
async function startCold(more) {
  const started = await start(more);
  started.browser.cookie = `__Host-offswitch=${handleOf("device")}`;
  return started;
}

const sleep = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

async function until(milliseconds, holds) {
  for (const end = Date.now() + milliseconds; Date.now() < end; await sleep(50)) {
    if (await holds()) return true;
  }
  return false;
}

const tokens = (stub) => asked(stub, "/handover/token");
const crowd = (browser, size) => Promise.all(Array.from({ length: size }, () => browser.fetch("/")));

/** Makes the feed send a delta to followers that have the base. */
function follow(stub, delta) {
  stub.feed = (request, response) => {
    const since = new URL(request.url, stub.url).searchParams.get("since");
    if (since === "1.3") return void response.writeHead(500).end();
    response.setHeader("content-type", "application/octet-stream").end(since === "1.2" ? delta : base);
  };
}

// F07: a page that sends many requests. One refresh serves them all; none of them changes the cookie.
test("50 parallel requests of one browser cost one refresh and all get their answer", async () => {
  const { stub, plane, browser } = await startCold();
  plane.delayMilliseconds = 500;
  const answers = await crowd(browser, 50);
  assert.deepEqual(answers.map(({ status }) => status), Array(50).fill(200));
  assert.ok(answers.every(({ setCookies }) => setCookies.length === 0));
  assert.equal(tokens(stub), 1);
  await crowd(browser, 10);
  assert.equal(tokens(stub), 1);
  browser.assertNoToken(plane);
});

// E04: the request that fetches is gone, and its fetch never ends; another request takes over.
test("an aborted first request does not block the others for ever", async () => {
  const { stub, plane, edge, browser } = await startCold();
  let held = 0;
  plane.instead = () => {
    held += 1;
    plane.instead = undefined; // only the first is never answered
  };
  const abort = new AbortController();
  const first = fetch(edge.url, { headers: { cookie: browser.cookie }, signal: abort.signal })
    .catch((error) => error.name);
  assert.ok(await until(10_000, () => held === 1));
  const others = crowd(browser, 20);
  await sleep(50);
  abort.abort();
  assert.equal(await first, "AbortError");
  assert.deepEqual((await others).map(({ status }) => status), Array(20).fill(200));
  assert.ok(tokens(stub) <= 3, `${tokens(stub)} refreshes`);
});

// F07: an expired token is replaced without involving the browser.
test("an expired token is refreshed and the browser notices nothing", async () => {
  const { stub, plane, browser } = await start();
  plane.lifeSeconds = 1;
  await browser.login("device");
  plane.lifeSeconds = 300;
  await sleep(1200);
  const answer = await browser.fetch("/");
  assert.deepEqual([answer.status, answer.setCookies], [200, []]);
  assert.equal(tokens(stub), 1);
});

// The control plane's clock is late, or it returns expired tokens: the worker retries once and no more.
test("a token that is already expired is requested once more", async () => {
  const { stub, plane, browser } = await startCold();
  plane.claims = { exp: now() - 100 };
  const refused = await browser.fetch("/");
  assert.deepEqual([refused.status, refused.code], [401, "expired"]);
  assert.equal(tokens(stub), 2);
  await crowd(browser, 10);
  assert.ok(tokens(stub) <= 4, `${tokens(stub)} refreshes`);
  plane.claims = {};
  assert.ok(await until(10_000, async () => (await browser.fetch("/")).status === 200));
});

// F10: while the token lives there is no effect; then the answer is "try again", never "log in again".
test("with the control plane down a browser is served until its token ends, then gets 503", async () => {
  const { stub, plane, browser } = await start();
  plane.lifeSeconds = 6;
  plane.claims = { exp: now() + 600 };
  await browser.login("device");
  assert.equal((await browser.fetch("/")).status, 200);
  stub.isUp = false;
  const statuses = [];
  for (const end = Date.now() + 9000; Date.now() < end; await sleep(150)) {
    const { status, code, headers, setCookies } = await browser.fetch("/");
    assert.deepEqual(setCookies, []);
    statuses.push(status);
    if (status === 200) continue;
    assert.deepEqual([status, code], [503, "control_plane_unreachable"]);
    assert.equal(headers.get("retry-after"), "1");
  }
  const firstFailure = statuses.indexOf(503);
  assert.ok(firstFailure > 0, "served at first, then 503");
  assert.ok(statuses.slice(firstFailure).every((status) => status === 503));
  assert.ok(tokens(stub) <= 12, `${tokens(stub)} tries: the control plane is spared`);
  assert.equal((await browser.post("/auth/session")).status, 503);
  stub.isUp = true;
  assert.ok(await until(10_000, async () => (await browser.fetch("/")).status === 200));
  browser.assertNoToken(plane);
});

// Invariant 6: the verifier decides about each request, also while the token is in memory.
test("a session that the feed revokes is refused immediately, and the cookie stays", async () => {
  const { stub, browser } = await start({ OFFSWITCH_POLL_SECONDS: "0.05" });
  await browser.login("lost");
  assert.equal((await browser.fetch("/")).status, 200);
  follow(stub, sessionGone);
  let answer;
  assert.ok(await until(10_000, async () => {
    answer = await browser.fetch("/");
    return answer.status === 401;
  }));
  assert.deepEqual([answer.code, answer.setCookies], ["revoked_session", []]);
  assert.equal(answer.headers.get("retry-after"), null);
  assert.equal(tokens(stub), 0, "a new token would not help");
});

// F07: the control plane says that the session is over: the user must log in again, but nothing is cleared.
test("an ended session gets 401, and the control plane does not get a request each time", async () => {
  for (const [status, code] of [[410, "session_ended"], [400, "invalid_handle"]]) {
    const { stub, plane, browser } = await startCold();
    plane.instead = (_path, _body, response) => problem(response, status, code);
    for (const answer of [...await crowd(browser, 20), await browser.post("/auth/session")]) {
      assert.deepEqual([answer.status, answer.code, answer.setCookies], [401, "session_ended", []]);
    }
    assert.ok(tokens(stub) <= 2, `${tokens(stub)} refreshes`);
  }
});

// After a red button, bearer tokens are refused with a time to retry, and cookies stay valid.
test("after a red button browsers get new tokens and other clients are spread over time", async () => {
  const { stub, plane, browser, edge } = await start({
    OFFSWITCH_POLL_SECONDS: "0.05", OFFSWITCH_REFRESH_JITTER_SECONDS: "4",
  });
  await browser.login("device");
  const headers = { authorization: `Bearer ${await mint(key)}` };
  assert.equal((await fetch(edge.url, { headers })).status, 200);
  plane.key = newKey;
  follow(stub, redButton);
  assert.ok(await until(10_000, async () => (await fetch(edge.url, { headers })).status === 401));
  const seen = new Set();
  for (let count = 0; count < 60; count += 1) {
    const response = await fetch(edge.url, { headers });
    assert.equal((await response.json()).code, "revoked_key");
    seen.add(response.headers.get("retry-after"));
  }
  assert.deepEqual([...seen].sort(), ["1", "2", "3", "4"]);
  const answers = await crowd(browser, 20);
  assert.deepEqual(answers.map(({ status }) => status), Array(20).fill(200));
  assert.equal(tokens(stub), 1);
  browser.assertNoToken(plane);
});

/** Answers with which a control plane must not be able to affect a browser. */
const fields = { access_token: "a.b.c", token_type: "Bearer", expires_in: 300, expires_at: 1, session_expires_at: now() + 900 };
const HOSTILE = {
  "500": (_path, _body, response) => problem(response, 500, "session_ended"),
  "401 for the API key": (_path, _body, response) => problem(response, 401, "invalid_key"),
  "503 with a Retry-After": (_path, _body, response) => problem(response, 503, "session_ended", { "retry-after": "1" }),
  "410 without the code": (_path, _body, response) => problem(response, 410, "gone"),
  "400 with another code": (_path, _body, response) => problem(response, 400, "session_ended"),
  "a redirect": (_path, _body, response) => void response.writeHead(307, { location: "/up/stolen" }).end(),
  "another content type": (_path, _body, response) => void response.end(JSON.stringify(fields)),
  "no JSON": (_path, _body, response) => void response.setHeader("content-type", "application/json").end("{"),
  "an array": (_path, _body, response) => json(response, [fields]),
  null: (_path, _body, response) => json(response, null),
  "a number for a token": (_path, _body, response) => json(response, { ...fields, access_token: 7 }),
  "a token with line breaks": (_path, _body, response) => json(response, { ...fields, access_token: "a\r\nx: y" }),
  "another token type": (_path, _body, response) => json(response, { ...fields, token_type: "DPoP" }),
  "a life as text": (_path, _body, response) => json(response, { ...fields, expires_in: "300" }),
  "a life of nothing": (_path, _body, response) => json(response, { ...fields, expires_in: 0 }),
  "no end of the session": (_path, _body, response) => json(response, { ...fields, session_expires_at: null }),
  "a huge body": (_path, _body, response) => json(response, { ...fields, more: "x".repeat(1 << 20) }),
  "a body without end": (_path, _body, response) => {
    response.on("error", () => {});
    response.setHeader("content-type", "application/json").write(`{"x":"${"x".repeat(200_000)}`);
  },
  "a broken connection": (_path, _body, response) => void response.socket.destroy(),
};

// F10: no such answer says anything about the session.
test("a control plane that answers nonsense is treated as unreachable", async () => {
  const { stub, plane, browser, edge } = await start();
  for (const [index, [name, answer]] of Object.entries(HOSTILE).entries()) {
    plane.instead = answer;
    // A new handle each time, so that nothing is remembered from the one before.
    browser.cookie = `__Host-offswitch=${handleOf(`hostile${index}`)}`;
    const login = await new Browser(edge.url).post("/auth/login", { code: `osc_${"x".repeat(43)}` });
    for (const got of [await browser.fetch("/"), await browser.post("/auth/logout"), login]) {
      assert.deepEqual([got.status, got.code, got.setCookies], [503, "control_plane_unreachable", []], name);
    }
  }
  assert.equal(asked(stub, "/up/stolen"), 0);
  plane.instead = undefined;
  assert.equal((await browser.post("/auth/session")).status === 200
    || await until(10_000, async () => (await browser.fetch("/")).status === 200), true);
});

// F10: a handle of another shape could put other text into a header.
test("a login whose answer has no proper handle sets no cookie", async () => {
  const { plane, browser } = await start();
  for (const handle of [undefined, 7, "osh_x", `osh_${"x".repeat(43)}; Domain=evil`, `x\r\n${"x".repeat(43)}`]) {
    plane.instead = (_path, _body, response) => json(response, { ...fields, handle });
    const answer = await browser.post("/auth/login", { code: `osc_${"x".repeat(43)}` });
    assert.deepEqual([answer.status, answer.setCookies], [503, []]);
  }
});

// F10: slow is not down. A request waits for a bounded time and gets an answer that says to retry.
test("a control plane that never answers costs a bounded wait and gives 503", async () => {
  const { plane, browser } = await startCold();
  plane.instead = () => {};
  const answers = await crowd(browser, 10);
  for (const { status, code, setCookies } of answers) {
    assert.deepEqual([status, code, setCookies], [503, "control_plane_unreachable", []]);
  }
  plane.instead = undefined;
  assert.ok(await until(15_000, async () => (await browser.fetch("/")).status === 200));
});
