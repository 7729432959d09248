// The console's API key: the parts that it opens, the messages where it does not, and that it is not stored.

import assert from "node:assert/strict";
import { consoleOf, consoleTests, logIn } from "./console.mjs";
import { serveFiles } from "./files.mjs";
import { becomes, says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage();
const few = await plane.createKey("few", "sessions:read", "metrics:read");
const consoleTest = consoleTests(pageTest, plane);
const AT_CONSOLE = { at: `${plane.url}/#console` };
const REFUSED = (status) => new RegExp(`status of ${status} `);

// Without a key: every part shows the scope that it needs, and no request was sent with a key.
pageTest("without a key every part shows the scope that it needs", async (page) => {
  const it = consoleOf(page);
  await says(it.state, /Ready/);
  for (const [name, scope] of SCOPES) {
    await it.go(name);
    await says(page.getByText("Sign in with an API key that has the scope").locator("visible=true"), scope);
  }
  await it.button("Sign in").click();
  await says(it.state, /Enter an API key first\./);
}, AT_CONSOLE);

// A key that the control plane does not know: one message, and another key can be entered.
pageTest("a wrong key is refused with a message, and the right one works after it", async (page) => {
  const it = consoleOf(page);
  await page.getByRole("checkbox", { name: /^Stay signed in until this tab is closed/ }).check();
  await it.use("osk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
  await says(it.state, /The API key was not accepted\.[\s\S]*unknown_api_key, HTTP 401/);
  await becomes(() => page.evaluate(() => ({ ...sessionStorage })), {});
  await it.go("Revoke");
  await says(it.part("Revoke"), /Sign in with another API key that has the scope revocations:write/);
  assert.ok(await it.part("Revoke").getByRole("button", { name: "Revoke" }).isDisabled());
  await it.use("osk with a space");
  await says(it.state, /neither spaces nor special characters/);
  await it.use(plane.apiKey);
  await says(it.scopes, /granted:\s+revocations:write/);
  assert.ok(await it.part("Revoke").getByRole("button", { name: "Revoke" }).isEnabled());
}, { ...AT_CONSOLE, expects: [REFUSED(401)] });

// A key with two scopes: the allowed actions work, the others are refused with the name of the scope.
consoleTest("a key without a scope is refused with its name, and the rest works", async (it) => {
  await logIn(plane, "alice", { device: "phone" });
  const scopes = await says(it.scopes, /granted:\s+sessions:read/);
  for (const lacking of ["revocations:write", "revocations:read", "keys:write", "red-button"]) {
    assert.match(scopes, new RegExp(`not granted:\\s+${lacking}`));
  }
  await says(it.part("Recent log"), /lacks the scope revocations:read/);
  for (const [name, region, scope, press] of [
    ["Revoke", "Revoke", "revocations:write", "Revoke"],
    ["Issuers", "Issuers", "issuers:write"],
    ["Keys", "Signing keys", "keys:read", "Rotate the signing key"],
    ["API keys", "API keys", "api-keys:write"],
    ["Red button", "Red button", "red-button", "Preview"],
  ]) {
    await it.go(name);
    await says(it.part(region), new RegExp(`lacks the scope ${scope}`));
    if (press === undefined) continue;
    assert.ok(await it.part(region).getByRole("button", { name: press }).isDisabled(), press);
  }
  await it.go("Users");
  await it.list("alice");
  await says(it.part("Users and their devices"), /1 device of alice[\s\S]*sessions:write/);
  assert.ok(await it.button("Log out phone").isDisabled());
}, { apiKey: few, expects: [REFUSED(403)] });

// A key that is deleted while the page uses it.
consoleTest("the page reports that a deleted key is refused", async (it) => {
  const text = await says(it.scopes, /sessions:read/);
  assert.match(text, /granted:\s+metrics:read/);
  await plane.deleteKey("few");
  await says(it.state, /The API key was not accepted\./, 30);
}, { apiKey: few, expects: [REFUSED(403), REFUSED(401)] });

// Signing out removes the key and the fetched data, and ends all requests.
consoleTest("signing out removes what was fetched", async (it, page) => {
  await logIn(plane, "bob", { device: "tablet" });
  await it.go("Users");
  await it.list("bob");
  await says(it.part("Users and their devices"), /tablet/);
  await it.button("Sign out").click();
  await it.keyField.waitFor();
  await says(it.part("Users and their devices"), /Sign in with an API key that has the scope sessions:read/);
  assert.doesNotMatch(await page.content(), /tablet/);
  const asked = [];
  page.on("request", (request) => asked.push(request));
  await page.waitForResponse((response) => response.url().endsWith("/readyz"));
  await page.waitForResponse((response) => response.url().endsWith("/readyz"));
  for (const request of asked) {
    assert.equal((await request.allHeaders()).authorization, undefined, request.url());
  }
});

// Neither storage nor the address nor the history has the key.
consoleTest("the key is kept only in memory", async (it, page) => {
  await says(it.scopes, /granted:\s+red-button/);
  await it.go("Keys");
  await says(it.part("Signing keys"), /signs new tokens/);
  const kept = await page.evaluate(async () => JSON.stringify({
    local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie,
    url: location.href, state: history.state, name: window.name,
    databases: await indexedDB.databases(), caches: await caches.keys(),
    entries: performance.getEntries().map(({ name }) => name),
  }));
  assert.ok(!kept.includes("osk_"), kept);
  assert.deepEqual(JSON.parse(kept).local, {});
  assert.deepEqual(JSON.parse(kept).session, {});
  assert.deepEqual(await page.context().cookies(), []);
  assert.ok(!(await page.content()).includes(plane.apiKey));
  await page.reload();
  await it.keyField.waitFor();
  assert.equal(await it.keyField.inputValue(), "");
});

// D64: only if the user chooses so, the sign-in survives a reload of the tab.
pageTest("a sign-in survives a reload if that was chosen, and signing out removes the key", async (page) => {
  const it = consoleOf(page);
  await page.getByRole("checkbox", { name: /^Stay signed in until this tab is closed/ }).check();
  await it.use(plane.apiKey);
  await says(it.scopes, /granted:\s+red-button/);
  await page.reload();
  await says(it.scopes, /granted:\s+red-button/);
  await it.button("Sign out").click();
  await it.keyField.waitFor();
  assert.deepEqual(await page.evaluate(() => ({ ...sessionStorage, ...localStorage })), {});
  await page.reload();
  await it.keyField.waitFor();
}, AT_CONSOLE);

// An edge worker or a file server: one does not have readyz, the other answers every path.
for (const [kind, status] of [["404", 404], ["its own page", 200]]) {
  const elsewhere = await serveFiles((_, response, index) =>
    response.writeHead(status, { "content-type": "text/html" }).end(index));
  pageTest(`a server that answers readyz with ${kind} is no control plane`, async (page) => {
    await says(page.getByRole("main"), /that is not a control plane/);
    const field = page.getByLabel("Address of the control plane");
    await field.fill("javascript:alert(1)");
    await says(page.getByRole("main"), /This is not an address/);
    await field.fill(plane.url);
    await page.getByRole("link", { name: `Open ${plane.url}` }).click();
    await says(consoleOf(page).state, /Ready/);
  }, {
    at: `${elsewhere}/#console`, origins: [plane.url], expects: [/status of 404 .*\/readyz/],
  });
}

const SCOPES = [
  ["Live", /metrics:read[\s\S]*revocations:read/], ["Followers", /followers:read/], ["Users", /sessions:read/],
  ["Revoke", /revocations:write/], ["Bulk", /revocations:write/], ["Issuers", /issuers:write/],
  ["Keys", /keys:read/],
  ["API keys", /api-keys:write/], ["Red button", /red-button/],
];
