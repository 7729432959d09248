// The handover in a page in real Chromium, and what a page of another origin on the same site can do to it.
//
// Chromium accepts `Secure` and `__Host-` cookies over plain HTTP only from loopback addresses; so
// this runs on http://127.0.0.1, and the other page is another port of it. For SameSite that is the
// same site: the browser sends the cookie, and only the worker's own rules prevent its use.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPage } from "../support/browser.mjs";
import { sign, signingKey } from "../support/fixture.mjs";
import { codeOf, handleOf, handoverSettings, playHandover } from "../support/handover.mjs";
import { asked, startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

/** The page is the worker's 401, whose policy allows no script: only the test's own scripts run. */
const SCRIPTS_IN_PROBLEMS = { bypassCSP: true };
const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4 }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
stub.upstream = (_, response) => {
  response.setHeader("content-type", "text/html");
  response.end("<!doctype html><p>fine");
};
const plane = playHandover(stub, key);
const edge = await startEdge(stub, publicKey, handoverSettings(stub));
const nextDoor = await startPage(undefined, SCRIPTS_IN_PROBLEMS);
after(async () => {
  await nextDoor.close();
  await edge.close();
  await stub.close();
});

const context = nextDoor.page.context();
const page = await context.newPage();
/** Fetches like a script of the page, and returns everything that the script can read. */
const call = (path, init) => page.evaluate(async ([url, options]) => {
  const response = await fetch(url, options);
  const text = await response.text();
  return { status: response.status, text, headers: [...response.headers] };
}, [path, init]);
const post = (path, body) => call(path, {
  method: "POST",
  headers: { "offswitch-csrf": "1", ...(body && { "content-type": "application/json" }) },
  body: body && JSON.stringify(body),
});

// A02, F07: one login from its beginning to its end.
test("a page logs in, is served and logs out without ever seeing a token", async () => {
  await page.goto(`${edge.url}/`); // 401, and a document of our origin
  const seen = [];
  const step = async (made, status) => {
    const answer = await made;
    seen.push(answer);
    assert.equal(answer.status, status, answer.text);
    return answer;
  };
  await step(call("/private"), 401);
  await step(post("/auth/login", { code: codeOf("device") }), 204);
  const [cookie] = await context.cookies(edge.url);
  assert.equal(cookie.value, handleOf("device"), "Chromium has taken the cookie");
  assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.sameSite], [true, true, "Lax"]);
  assert.match((await step(call("/private"), 200)).text, /fine/);
  await step(call("/private", { method: "PUT", body: "x" }), 200);
  const session = JSON.parse((await step(post("/auth/session"), 200)).text);
  assert.deepEqual([session.sub, session.session_id], ["alice", "device"]);
  assert.equal((await page.goto(`${edge.url}/page`)).status(), 200, "a navigation is served too");
  seen.push(await page.evaluate(async () => ({
    cookie: document.cookie,
    local: { ...localStorage },
    session: { ...sessionStorage },
    databases: await indexedDB.databases(),
    document: document.documentElement.outerHTML,
    entries: performance.getEntries().map((entry) => entry.toJSON()),
  })));
  assert.equal(seen.at(-1).cookie, "");
  await step(post("/auth/logout"), 204);
  assert.deepEqual(await context.cookies(edge.url), []);
  await step(call("/private"), 401);
  const everything = JSON.stringify(seen);
  assert.doesNotMatch(everything, /eyJ|osh_/);
  for (const token of plane.issued) assert.ok(!everything.includes(token.split(".")[2]));
});

// A02: same site, another origin; SameSite lets the cookie through, the worker does not.
test("a page of another origin on the same site cannot use the cookie", async () => {
  await page.goto(`${edge.url}/`);
  await post("/auth/login", { code: codeOf("victim") });
  const before = stub.requests.length;
  await nextDoor.page.evaluate(async (origin) => {
    const include = { credentials: "include" };
    const tries = [
      fetch(`${origin}/read`, { ...include, mode: "no-cors" }),
      fetch(`${origin}/read`, include),
      fetch(`${origin}/transfer`, { ...include, mode: "no-cors", method: "POST" }),
      fetch(`${origin}/transfer`, { ...include, mode: "no-cors", method: "POST", body: "text" }),
      fetch(`${origin}/transfer`, { ...include, method: "PUT" }),
      ...["login", "logout", "session"].flatMap((route) => [
        fetch(`${origin}/auth/${route}`, { ...include, mode: "no-cors", method: "POST" }),
        fetch(`${origin}/auth/${route}`, { ...include, method: "POST", headers: { "offswitch-csrf": "1" } }),
      ]),
    ];
    await Promise.allSettled(tries);
    const socket = new WebSocket(`${origin.replace("http", "ws")}/socket`);
    await new Promise((closed) => { socket.onclose = closed; });
    const form = Object.assign(document.createElement("form"), { method: "post", action: `${origin}/auth/logout` });
    document.body.append(form);
    setTimeout(() => form.submit()); // after this call has returned
  }, edge.url);
  await nextDoor.page.waitForURL(`${edge.url}/auth/logout`);
  assert.match(await nextDoor.page.content(), /cross_site_request/);
  const tried = /^\/(up\/(read|transfer|socket)|handover\/)/;
  const reached = stub.requests.slice(before).filter(({ path }) => tried.test(path));
  assert.deepEqual(reached.map(({ method, path }) => `${method} ${path}`), []);
  assert.equal(asked(stub, "/handover/logout"), 1, "the first test's own");
  assert.equal((await call("/private")).status, 200);
});

// D113, A02: with SameSite=Lax a link leads to the page it names; a frame shows nothing of it.
test("a link on another site leads to the guarded page, and a frame there does not", async () => {
  await page.goto(`${edge.url}/`);
  await post("/auth/login", { code: codeOf("guest") });
  const elsewhere = nextDoor.url.replace("127.0.0.1", "elsewhere.localhost");
  const visitor = await context.newPage();
  await visitor.goto(elsewhere);
  await visitor.setContent(`<a href="${edge.url}/page">to the page</a>`);
  const [landed] = await Promise.all([visitor.waitForNavigation(), visitor.click("a")]);
  assert.equal(landed.status(), 200);
  assert.equal((await visitor.reload()).status(), 200);
  await visitor.goto(elsewhere);
  const framed = visitor.waitForResponse(`${edge.url}/page`);
  await visitor.setContent(`<iframe src="${edge.url}/page"></iframe>`);
  assert.equal((await framed).status(), 401);
});

// D111: such a form sends a null Origin, and Sec-Fetch-Site shows that it is same-origin.
test("a form of our own page under no-referrer is served", async () => {
  await page.goto(`${edge.url}/`);
  await post("/auth/login", { code: codeOf("careful") });
  await page.setContent(`<meta name="referrer" content="no-referrer">
    <form method="post" action="/transfer"><input name="a" value="1"><button>send</button></form>`);
  const [answer] = await Promise.all([page.waitForNavigation(), page.click("button")]);
  assert.equal(answer.status(), 200);
  const sent = stub.requests.findLast(({ path }) => path === "/up/transfer").headers;
  assert.deepEqual([sent.origin, sent["sec-fetch-site"]], ["null", "same-origin"]);
});
