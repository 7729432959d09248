// Keys in the console: API keys, the keys of the feed, and the confirmation before a key is revoked.

import assert from "node:assert/strict";
import { consoleTests, newestOf, register } from "./console.mjs";
import { becomes, says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage();
const consoleTest = consoleTests(pageTest, plane);

const statusWith = async (apiKey) => {
  const headers = { authorization: `Bearer ${apiKey}` };
  return (await fetch(`${plane.url}/v1/status`, { headers })).status;
};

// D40: created, used, listed and revoked while the server runs.
consoleTest("an API key is created, its secret is shown once, and revoked after a question", async (it, page) => {
  await it.go("API keys");
  const creating = it.part("Create an API key");
  await it.button("Create key").click();
  await says(creating, /The name must have 1 to 100 characters/);
  await creating.getByRole("textbox", { name: "Name (1 to 100 characters)" }).fill("edge <b>");
  await it.button("Create key").click();
  await says(creating, /Choose at least one scope/);
  await creating.getByRole("checkbox", { name: "feed:read" }).check();
  await creating.getByRole("textbox", { name: "Expires after, days (optional)" }).fill("30");
  await it.button("Create key").click();
  const [secret] = /osk_[\w-]+/.exec(await says(creating, /osk_/));
  assert.equal(await statusWith(secret), 200);
  await says(it.row("edge <b>"), /feed:read/);
  const { api_keys: keys } = await plane.call("GET", "/v1/api-keys");
  const { expires_at: expiresAt, scopes } = keys.find(({ name }) => name === "edge <b>");
  assert.deepEqual(scopes, ["feed:read"]);
  assert.ok(Math.abs(expiresAt - Date.now() / 1000 - 30 * 86_400) < 600, `${expiresAt}`);
  await it.button("Done, hide it").click();
  assert.ok(!(await page.content()).includes(secret), "the secret is gone from the page");
  await it.button("Revoke edge <b>").click();
  await page.getByRole("group", { name: /is refused from now on/ })
    .getByRole("button", { name: "Cancel" }).click();
  assert.equal(await statusWith(secret), 200);
  await it.confirm("Revoke edge <b>", "Yes, revoke it");
  await says(it.part("API keys"), /The key edge <b> is revoked/);
  assert.equal(await statusWith(secret), 401);
  await becomes(() => it.row("edge <b>").count(), 0);
});

// The request arrived and its answer did not: a second request would create a second key.
consoleTest("a key whose creation got no answer is listed, and the page says that it may exist", async (it, page) => {
  await it.go("API keys");
  const creating = it.part("Create an API key");
  await creating.getByRole("textbox", { name: "Name (1 to 100 characters)" }).fill("unanswered");
  await creating.getByRole("checkbox", { name: "feed:read" }).check();
  await page.route("**/v1/api-keys", async (route) => {
    if (route.request().method() !== "POST") return route.continue();
    await route.fetch();
    await route.abort();
  });
  await it.button("Create key").click();
  const text = await says(creating, /It is unknown whether the key was created\./);
  assert.match(text, /revoke it there/);
  assert.doesNotMatch(text, /repeat it safely/);
  await it.confirm("Revoke unanswered", "Yes, revoke it");
  await says(it.part("API keys"), /The key unanswered is revoked/);
}, { expects: [/ERR_FAILED/] });

// A name from another administrator must not reorder the text of the confirmation.
consoleTest("the question before a key is revoked shows invisible characters of its name", async (it, page) => {
  await plane.call("POST", "/v1/api-keys", { name: "edge\u202Eegde", scopes: ["feed:read"] });
  await it.go("API keys");
  await it.button("Revoke edge⟨U+202E⟩egde").click();
  await page.getByRole("group", { name: /the key “edge⟨U\+202E⟩egde” is refused from now on/ })
    .getByRole("button", { name: "Cancel" }).click();
});

// D04: a key is added, both sign, the old one is dropped.
consoleTest("the feed key is rotated: a key is added, both sign, and the old one is dropped", async (it) => {
  const { feed_keys: [old] } = await plane.call("GET", "/v1/keys");
  await it.go("Keys");
  await says(it.row(old.public_key), /current[\s\S]*the only key/);
  await it.confirm("Add a feed key", "Yes, add it");
  await says(it.part("Feed keys"), /The key is added/);
  await says(it.row(old.public_key), /overlapping/);
  const { feed_keys: both } = await plane.call("GET", "/v1/keys");
  assert.deepEqual(both.map(({ state }) => state), ["overlapping", "current"]);
  await it.button(`Drop feed key ${old.id}`).click();
  await says(it.part("Feed keys"), /Verifiers that trust only this key accept no snapshot from now on/);
  await it.button("Yes, drop it").click();
  await says(it.part("Feed keys"), new RegExp(`${old.id} signs no more snapshots`));
  const { feed_keys: left } = await plane.call("GET", "/v1/keys");
  assert.deepEqual(left.map(({ public_key: key }) => key), [both[1].public_key]);
  await becomes(() => it.row(old.public_key).count(), 0);
});

// D41: the key of another issuer is revoked permanently; one click must not be enough.
consoleTest("revoking a key of another issuer asks first, and names key and issuer", async (it, page) => {
  await register(plane, "idp", "https://idp.example");
  const before = await newestOf(plane);
  await it.go("Revoke");
  const revoking = it.part("Revoke");
  await revoking.getByRole("radio", { name: "Signing key", exact: true }).check();
  await it.field("Revoke", "kid").fill("their-key");
  await revoking.getByRole("textbox", { name: /^Issuer/ }).fill("https://idp.example");
  await revoking.getByRole("button", { name: "Revoke" }).click();
  const question = page.getByRole("group", { name: /“their-key” of https:\/\/idp\.example .* for good/ });
  await question.getByRole("button", { name: "Cancel" }).click();
  assert.deepEqual(await newestOf(plane), before);
  await it.confirm("Revoke", "Yes, revoke", "Revoke");
  await it.recorded("Revoke", /Revoked\./);
  const { revocations: [entry] } = await newestOf(plane);
  assert.deepEqual(entry, { kind: "key", issuer: "https://idp.example", kid: "their-key" });
});
