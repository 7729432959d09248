// A page of another origin than the control plane's, in Chromium.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { startPage } from "../support/browser.mjs";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";

const plane = await startControlPlane();
const { page, url, close } = await startPage();
after(async () => {
  await close();
  await plane.close();
});

// N06, D31: when a preflight did not allow last-event-id, such pages had no stream.
test("a page of another origin follows the feed's stream", async () => {
  assert.notEqual(new URL(url).origin, new URL(plane.url).origin);
  const problems = [];
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  page.on("pageerror", ({ message }) => problems.push(message));
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  const options = {
    issuer: plane.url, audience: "api", keys: `${plane.url}/.well-known/jwks.json`,
    // Polls are too rare to be the cause here.
    feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey, pollSeconds: 3600, maxStaleness: 3600 },
  };
  const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub: "alice" });
  await page.evaluate(async (all) => {
    const { createVerifier } = await import("/verifier-wasm/js/loaders/browser.js");
    window.verifier = await createVerifier(all);
  }, options);
  const codeOf = () => page.evaluate(async (text) => (await window.verifier.verify(text)).code, token);
  assert.equal(await codeOf(), "valid");
  const following = () => page.evaluate(() => window.verifier.status().following);
  assert.ok(await until(async () => (await following()) === "stream"));
  await plane.call("POST", "/v1/revocations", { sub: "alice" });
  assert.ok(await until(async () => (await codeOf()) === "revoked_user"), "the stream brought nothing");
  assert.deepEqual(problems, []);
});
