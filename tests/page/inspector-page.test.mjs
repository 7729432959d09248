// The page itself: its policy, its size, its use without a network, and in other pages.

import assert from "node:assert/strict";
import { createServer, get } from "node:http";
import { after } from "node:test";
import { says, servePage } from "./open.mjs";
import { inspectorOf } from "./inspector.mjs";
import { ISSUER, mint, signingKey } from "../support/fixture.mjs";

const { plane, pageTest } = await servePage();
const key = await signingKey("EdDSA");

/** A server of another origin that every page may read, and that records its requests. */
const outside = createServer((request, response) => {
  outside.asked.push(request.url);
  response.setHeader("access-control-allow-origin", "*");
  if (request.url === "/keys") return void response.end(JSON.stringify({ keys: [key.jwk] }));
  response.setHeader("content-type", "text/html");
  response.end(`<!doctype html><html lang="en"><title>Embedder</title><link rel="icon" href="data:,">
    <script type="module" src="${plane.url}/offswitch-inspector.js"></script>
    <h1>Somebody else's page</h1>
    <offswitch-inspector token="${outside.token}" keys-url="${outside.url}/keys"></offswitch-inspector>`);
});
outside.asked = [];
await new Promise((listening) => outside.listen(0, "127.0.0.1", listening));
outside.url = `http://127.0.0.1:${outside.address().port}`;
outside.token = await mint(key, { sub: "embedded-user" });
after(() => outside.close().closeAllConnections());

pageTest("the page shows the policy that the browser enforces", async (page) => {
  await page.getByText("The policy that the browser enforces").click();
  const enforced = await page.evaluate(() =>
    document.querySelector('meta[http-equiv="Content-Security-Policy"]').content);
  const shown = (await page.getByRole("contentinfo").locator("code").innerText()).replaceAll(";\n", "; ");
  assert.equal(shown, enforced);
  assert.match(enforced, /default-src 'none'.*connect-src 'self'/);
  assert.doesNotMatch(enforced, /unsafe-inline|'unsafe-eval'|\*/);
});

// What a script that got into the page could try, to send a token elsewhere.
pageTest("the policy keeps every script of the page from talking to another origin", async (page) => {
  outside.asked.length = 0;
  const violated = await page.evaluate(async (url) => {
    const seen = [];
    addEventListener("securitypolicyviolation", ({ effectiveDirective }) => seen.push(effectiveDirective));
    const add = (name, members) => document.body.append(Object.assign(document.createElement(name), members));
    await fetch(`${url}/fetch`).then(() => seen.push("fetched"), () => {});
    await fetch(`${url}/opaque`, { mode: "no-cors" }).then(() => seen.push("fetched"), () => {});
    navigator.sendBeacon(`${url}/beacon`);
    try { new WebSocket(url.replace("http", "ws")); } catch { /* Some versions throw. */ }
    add("img", { src: `${url}/img` });
    add("script", { src: `${url}/script` });
    add("script", { textContent: "window.isInline = true" });
    add("iframe", { src: `${url}/frame` });
    add("link", { rel: "stylesheet", href: `${url}/style` });
    const end = performance.now() + 10_000;
    // The header and the document enforce it, so each violation is reported twice.
    while (new Set(seen).size < 5 && performance.now() < end) await new Promise(requestAnimationFrame);
    return { seen: [...new Set(seen)].sort(), isInline: window.isInline };
  }, outside.url);
  assert.deepEqual(violated, {
    seen: ["connect-src", "frame-src", "img-src", "script-src-elem", "style-src-elem"], isInline: undefined,
  });
  assert.deepEqual(outside.asked, []);
}, { origins: [outside.url], expects: [/^policy violated: /, /Content Security Policy/, /sendBeacon/] });

/** The response of a server at an address to a client that only supports gzip. */
const transferred = (address) => new Promise((resolve, reject) => {
  get(address, { headers: { "accept-encoding": "gzip" } }, (response) => {
    let size = 0;
    response.on("data", (chunk) => { size += chunk.length; });
    response.on("end", () => resolve(size)).on("error", reject);
  }).on("error", reject);
});

pageTest("page and verifier together are less than 200 KB", async (page) => {
  const addresses = new Set();
  page.on("request", (request) => addresses.add(request.url()));
  await page.reload();
  const paint = await page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) => {
      const first = list.getEntriesByName("first-contentful-paint")[0];
      if (first !== undefined) resolve(first.startTime);
    }).observe({ type: "paint", buffered: true });
  }));
  const inspector = inspectorOf(page);
  await inspector.verify({ token: await mint(key), keys: key.jwk });
  await says(inspector.state, /Signed/);
  const sizes = {};
  for (const address of addresses) sizes[new URL(address).pathname] = await transferred(address);
  const sum = Object.values(sizes).reduce((one, other) => one + other, 0);
  console.log(`# first paint after ${Math.round(paint)} ms; ${sum} bytes: ${JSON.stringify(sizes)}`);
  assert.ok(Object.keys(sizes).some((path) => path.endsWith(".wasm")), "with the verifier");
  assert.ok(sum < 200 * 1024, `${sum} bytes: ${JSON.stringify(sizes)}`);
  assert.ok(paint < 5000, `painted after ${paint} ms`);
});

// Loaded once, then the network is gone.
pageTest("without a network the page loads from the cache, and verifies", async (page) => {
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    if (navigator.serviceWorker.controller) return;
    await new Promise((resolve) => navigator.serviceWorker.addEventListener("controllerchange", resolve));
  });
  await page.context().setOffline(true);
  const isGone = await page.evaluate(() => fetch("/readyz").then(() => false, () => true));
  assert.ok(isGone, "the network");
  await page.reload();
  const inspector = inspectorOf(page);
  await inspector.verify({ token: await mint(key), keys: key.jwk });
  await says(inspector.state, /Signed, revocation unknown/);
  assert.equal((await inspector.steps()).length, 19);
}, { context: { serviceWorkers: "allow" }, expects: [/ERR_INTERNET_DISCONNECTED|ERR_FAILED/] });

// D65: screen readers would read a label that points at the hidden view for the wrong field.
pageTest("no id is used twice while both views are mounted", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(await mint(key));
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
  await page.getByRole("link", { name: "Console" }).click();
  await page.getByLabel("API key", { exact: true }).waitFor();
  const twice = await page.evaluate(() => {
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    return ids.filter((id, at) => ids.indexOf(id) !== at);
  });
  assert.deepEqual(twice, []);
});

const embedded = { at: `${outside.url}/`, origins: [outside.url, plane.url] };
pageTest("the element in another origin's page verifies with that page's keys", async (page) => {
  // Its tree is closed to the page around it; it is open only for this test.
  await page.addInitScript(() => {
    const attach = Element.prototype.attachShadow;
    Element.prototype.attachShadow = function open(init) {
      return attach.call(this, { ...init, mode: "open" });
    };
  });
  await page.reload();
  const inspector = inspectorOf(page);
  await says(inspector.row("sub"), /embedded-user/);
  await says(inspector.state, /Signed, revocation unknown/);
  assert.equal(await inspector.button("Link with this token").count(), 0);
  const token = await mint(key, { sub: "second-user", iss: ISSUER });
  await page.evaluate((next) => document.querySelector("offswitch-inspector").setAttribute("token", next), token);
  await says(inspector.row("sub"), /second-user/);
  await says(inspector.state, /Signed, revocation unknown/);
}, embedded);

pageTest("the element's tree is closed to the page around it", async (page) => {
  await page.waitForFunction(() => customElements.get("offswitch-inspector") !== undefined);
  assert.equal(await page.evaluate(() => document.querySelector("offswitch-inspector").shadowRoot), null);
}, embedded);
