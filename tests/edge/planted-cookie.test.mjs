// Cookies that a sister host sets for the whole domain, in real Chromium and workerd. Chromium
// treats *.localhost as trustworthy over plain HTTP, and `site.localhost` as a separate domain.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPage } from "../support/browser.mjs";
import { sign, signingKey } from "../support/fixture.mjs";
import { codeOf, handleOf, handoverSettings, playHandover } from "../support/handover.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

/** The page is the worker's 401, whose policy allows no script: only the test's own scripts run. */
const SCRIPTS_IN_PROBLEMS = { bypassCSP: true };
const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base] } = sign([{ to: 4 }]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
stub.upstream = (request, response) => {
  response.setHeader("content-type", "text/html");
  const [, payload] = (request.headers.authorization ?? "..").split(".");
  const { sid } = JSON.parse(Buffer.from(payload, "base64url"));
  response.end(`<!doctype html><p>session ${sid}; cookie ${escape(request.headers.cookie)}`);
};
const plane = playHandover(stub, key);
const edge = await startEdge(stub, publicKey, handoverSettings(stub));
const sister = await startPage(undefined, SCRIPTS_IN_PROBLEMS);
after(async () => {
  await sister.close();
  await edge.close();
  await stub.close();
});

const hostOf = (url, name) => url.replace("127.0.0.1", `${name}.site.localhost`);
const app = hostOf(edge.url, "app");
const context = sister.page.context();

/** Names that become ours by Unicode trimming or case folding. */
const LOOK_ALIKES = {
  "an en quad": "\u2000__Host-offswitch",
  "a no-break space": "\u00a0__Host-offswitch",
  "a byte order mark": "\ufeff__Host-offswitch",
  "an ideographic space": "\u3000__Host-offswitch",
  "a space behind a no-break space": "\u00a0 __Host-offswitch",
  "a no-break space behind it": "__Host-offswitch\u00a0",
  "another case": "__HOST-offswitch",
};
/** Whole cookies whose values try to look like our cookie. */
const VALUES = { "a value with a comma": `a=x,__Host-offswitch=${handleOf("attacker")}` };
const planted = Object.entries(LOOK_ALIKES).map(([what, name]) => [what, `${name}=${handleOf("attacker")}`]);

/** Sets the cookie on the sister host's page; returns the cookies that the sister host then sees. */
async function plant(cookie) {
  await sister.page.goto(hostOf(sister.url, "evil"));
  await sister.page.evaluate((text) => {
    document.cookie = `${text}; Domain=site.localhost; Path=/`;
  }, cookie);
}

const call = (page, path, init) => page.evaluate(async ([url, options]) => {
  const response = await fetch(url, options);
  return { status: response.status, text: await response.text() };
}, [path, init]);
const post = (page, path, body) => call(page, path, {
  method: "POST", headers: { "offswitch-csrf": "1", "content-type": "application/json" },
  body: body && JSON.stringify(body),
});

for (const [what, cookie] of [...planted, ...Object.entries(VALUES)]) {
  // D02, A02: the victim is neither logged in as the attacker nor loses its own session.
  test(`a planted cookie with ${what} neither logs in nor locks out`, async () => {
    await context.clearCookies();
    await plant(cookie);
    const page = await context.newPage();
    await page.goto(`${app}/`);
    const foreign = await call(page, "/private");
    assert.equal(foreign.status, 401, foreign.text);
    const nothing = await post(page, "/auth/logout");
    assert.deepEqual([nothing.status, JSON.parse(nothing.text).code], [400, "no_session"]);

    const sid = `victim${plane.issued.length}`;
    assert.equal((await post(page, "/auth/login", { code: codeOf(sid) })).status, 204);
    const own = await call(page, "/private");
    assert.equal(own.status, 200, own.text);
    assert.match(own.text, new RegExp(`session ${sid};`));
    assert.doesNotMatch(own.text, /osh_/, "the upstream sees neither cookie");
    assert.equal((await post(page, "/auth/logout")).status, 204);
    assert.ok(plane.ended.has(sid) && !plane.ended.has("attacker"));
    assert.equal((await call(page, "/private")).status, 401);
    await page.close();
  });
}

// The counter-test: the browser did send the planted cookies.
test("Chromium sends the planted cookies to the worker's host", async () => {
  await context.clearCookies();
  await plant(planted[0][1]);
  const cookies = await context.cookies(app);
  assert.deepEqual(cookies.map(({ domain }) => domain), [".site.localhost"]);
});
