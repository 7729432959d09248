// The token stays in the tab: links only on request, copies by hand, everything cleared with one click.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { after } from "node:test";
import { promisify } from "node:util";
import { Verifier } from "offswitch";
import { INSECURE_HOST, becomes, says, servePage } from "./open.mjs";
import { inspectorOf, plainClaims, unsigned } from "./inspector.mjs";
import { mint, signingKey } from "../support/fixture.mjs";

const { plane, pageTest } = await servePage();
const key = await signingKey("ES256");
const token = await mint(key, { aud: ["api"] });
const clipboard = { context: { permissions: ["clipboard-read", "clipboard-write"] } };
const copied = (page) => page.evaluate(() => navigator.clipboard.readText());

pageTest("a link with the token is made only on request, and opening it hides the token", async (page) => {
  const { button, token: field } = inspectorOf(page);
  await field.fill(token);
  assert.ok(!page.url().includes(token));
  await button("Link with this token").click();
  await says(page.getByRole("group", { name: "Link with this token" }), /The link contains the token/);
  await button("Cancel").click();
  await button("Link with this token").click();
  await button("Make the link").click();
  assert.ok(!page.url().includes(token), "the address bar of the author does not have it");
  await button("Copy the link").click();
  await says(page.getByRole("status"), /Copied\./);
  const link = await copied(page);
  assert.equal(link, `${plane.url}/#inspector?token=${token}`);
  const asked = [];
  page.context().on("request", (request) => asked.push(request.url() + JSON.stringify(request.headers())));
  const other = await page.context().newPage();
  await other.goto(link);
  await becomes(() => inspectorOf(other).token.inputValue(), token);
  await becomes(() => other.evaluate(() => location.href), `${plane.url}/#inspector`);
  assert.ok(!asked.join("\n").includes(token.split(".")[2]), "no server received it");
  // The same in a tab that is already open.
  await inspectorOf(other).token.fill("");
  await other.evaluate((address) => { location.href = address; }, link);
  await becomes(() => inspectorOf(other).token.inputValue(), token);
  await becomes(() => other.evaluate(() => location.href), `${plane.url}/#inspector`);
}, clipboard);

/** Every place where a page can store something. */
const everything = (page) => page.evaluate(async () => JSON.stringify({
  dom: document.documentElement.outerHTML,
  text: document.documentElement.innerText,
  fields: [...document.querySelectorAll("input, textarea, select")].map(({ value }) => value),
  address: location.href,
  state: history.state,
  title: document.title,
  cookie: document.cookie,
  local: { ...localStorage },
  session: { ...sessionStorage },
  databases: await indexedDB.databases(),
  caches: await caches.keys(),
  name: window.name,
  entries: performance.getEntries().map((entry) => entry.name),
}));

pageTest("one click clears everything, and the focus is in the token field", async (page) => {
  const inspector = inspectorOf(page);
  const other = await mint(key, { sub: "bob" });
  const secrets = [token, other, "osk_secret_of_the_feed", key.jwk.x, "wanted-audience"]
    .flatMap((one) => one.split("."));
  await inspector.verify({ token, keys: key.jwk });
  await page.getByText("Compare with another token").click();
  await inspector.field("The other token").fill(other);
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
  await inspector.field("API key with the scope feed:read").fill("osk_secret_of_the_feed");
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).uncheck();
  await inspector.button("Verify").click();
  await says(inspector.state, /Signed/);
  await page.getByRole("textbox", { name: "Audience" }).fill("wanted-audience");
  await inspector.button("Link with this token").click();
  await inspector.button("Make the link").click();
  const before = await everything(page);
  assert.ok(before.includes(secrets[1]) && before.includes("wanted-audience"));
  await inspector.button("Clear everything").click();
  await says(inspector.state, /No token/);
  await becomes(() => inspector.token.evaluate((field) => field === document.activeElement), true);
  const clean = async () => {
    const left = await everything(page);
    return secrets.filter((secret) => left.includes(secret));
  };
  assert.deepEqual(await clean(), []);
  await page.keyboard.press("Control+z");
  assert.deepEqual(await clean(), [], "undo brings nothing back");
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
  assert.equal(await inspector.field("API key with the scope feed:read").inputValue(), "");
  await says(page.getByRole("status"), /Everything was cleared/);
  assert.deepEqual(await inspector.steps(), []);
});

// Even before that, nothing is stored beyond the tab.
pageTest("the browser stores nothing of the token, and a reload forgets it", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({ token, keys: key.jwk });
  await says(inspector.state, /Signed/);
  const kept = await page.evaluate(async () => [
    document.cookie, { ...localStorage }, { ...sessionStorage }, await indexedDB.databases(), history.state,
  ]);
  assert.deepEqual(kept, ["", {}, {}, [], null]);
  await page.reload();
  await says(inspector.state, /No token/);
  assert.equal(await inspector.token.inputValue(), "");
});

const server = createServer((request, response) => {
  server.authorization = request.headers.authorization;
  response.end("fine");
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
after(() => server.close().closeAllConnections());

const asked = [];
const redirecting = createServer((request, response) => {
  if (request.method === "GET") asked.push(request.url);
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-allow-headers", "authorization");
  const status = request.url === "/v1/keys" && request.method === "GET" ? 302 : 200;
  response.writeHead(status, { location: "/elsewhere" }).end("{}");
});
await new Promise((listening) => redirecting.listen(0, "127.0.0.1", listening));
after(() => redirecting.close().closeAllConnections());
const redirectingUrl = `http://127.0.0.1:${redirecting.address().port}`;

// The key belongs to the entered address, not to the address that its server names.
pageTest("the API key of a feed is not sent to the target of the feed's redirect", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(token);
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
  await inspector.field("Feed").fill(`${redirectingUrl}/v1/feed`);
  await inspector.field("API key with the scope feed:read").fill("osk_secret_of_the_feed");
  await inspector.button("Fetch them from the control plane").click();
  await says(inspector.verifying, /cannot be fetched/);
  assert.deepEqual(asked, ["/v1/keys"]);
}, { origins: [redirectingUrl], expects: [/net::ERR_/] });

pageTest("the curl line is run by a shell and sends the token", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(token);
  await inspector.field("Address for curl").fill(`http://127.0.0.1:${server.address().port}/?a='b'`);
  await inspector.button("curl").click();
  await says(page.getByRole("status"), /Copied\./);
  const { stdout } = await promisify(execFile)("sh", ["-c", `${await copied(page)} -s`]);
  assert.deepEqual([stdout, server.authorization], ["fine", `Bearer ${token}`]);
  await says(inspector.part("Copy"), /contain the token/);
}, clipboard);

// The package outside the browser gives the same verdict on the copied vector.
pageTest("the copied test vector holds for the package in Node.js", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.verify({ token: `${token.slice(0, -4)}AAAA`, keys: key.jwk });
  await says(inspector.state, /bad_signature/);
  await inspector.button("Test vector").click();
  await says(page.getByRole("status"), /Copied\./);
  const vector = JSON.parse(await copied(page));
  assert.deepEqual(vector.expected, { outcome: "refused", code: "bad_signature" });
  const verifier = new Verifier({
    issuer: vector.claims.iss, audience: vector.claims.aud, keys: vector.keys,
    clock: () => vector.now,
    feed: { url: "https://feed.invalid/", publicKeys: ["6kpsY-KcUgq-9VB7Ey7F-ZVHdq6-vnuSQh7qaRRG0iw"] },
  });
  assert.equal(verifier.verifySync(vector.token).code, vector.expected.code);
  verifier.close();
  await inspector.button("Decoded JSON").click();
  await becomes(async () => Object.keys(JSON.parse(await copied(page))), ["header", "claims"]);
}, clipboard);

// A page loaded over plain HTTP has neither a clipboard nor WebCrypto.
const insecure = plane.url.replace("127.0.0.1", INSECURE_HOST);
pageTest("without a clipboard the text is shown for copying by hand", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(token);
  await inspector.button("Decoded JSON").click();
  await says(page.getByRole("status"), /copy the text by hand/);
  const byHand = page.getByRole("textbox", { name: "Decoded JSON, by hand" });
  assert.equal(JSON.parse(await byHand.inputValue()).claims.sub, "user");
  await inspector.button("Try an example").click();
  await says(page.getByRole("status"), /only on pages that came by https or from localhost/);
}, { at: `${insecure}/`, expects: [/Cross-Origin-Opener-Policy|untrustworthy/] });

pageTest("the comparison of two tokens lists the differences first", async (page) => {
  const { button, field, row, token: first } = inspectorOf(page);
  await first.fill(unsigned(plainClaims({ scope: "read", old: 1 })));
  await page.getByText("Compare with another token").click();
  await field("The other token").fill(unsigned(plainClaims({ scope: "read write", ver: 2 })));
  const group = page.getByRole("group").filter({ hasText: "Both are only decoded here" });
  const shown = await says(group, /differences\./);
  assert.match(shown, /Header\s+No difference\./);
  const states = { scope: "changed", old: "removed", ver: "added" };
  for (const [name, state] of Object.entries(states)) {
    await says(group.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) }), new RegExp(state));
  }
  assert.equal(await group.getByRole("rowheader", { name: "iss" }).count(), 0);
  await page.getByRole("checkbox", { name: /Also show what is the same/ }).check();
  await says(group.getByRole("row").filter({ hasText: "iss" }), /same/);
  await field("The other token").fill(await first.inputValue());
  await says(group, /Header and claims are the same\./);
  await button("Clear everything").click();
  await becomes(() => row("scope").count(), 0);
});
