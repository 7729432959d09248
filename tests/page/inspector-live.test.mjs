// Live status: whether a token of a real control plane was revoked, on both of its stores.

import assert from "node:assert/strict";
import { after } from "node:test";
import { becomes, openBrowser, says } from "./open.mjs";
import { inspectorOf } from "./inspector.mjs";
import { startControlPlane } from "../support/control-plane.mjs";
import { startRedis } from "../support/redis.mjs";

const embedded = await startControlPlane();
const redis = await startRedis();
const onRedis = await startControlPlane({ OFFSWITCH_STORE: redis.url });
after(async () => {
  await embedded.close();
  await onRedis.close();
  await redis.close();
});
const pageTest = await openBrowser(embedded.url);
/** A control plane has no OpenID metadata, and Chromium reports every 404. */
const expects = [/404.*openid-configuration/];

/** A token of a new session, followed in the page until it is valid. */
async function follow(page, plane, session) {
  const inspector = inspectorOf(page);
  await inspector.token.fill(session.access_token);
  await inspector.button("Verify").click();
  await says(inspector.state, /Signed, revocation unknown/);
  await page.getByRole("checkbox", { name: /^Follow a feed/ }).check();
  assert.equal(await inspector.field("Feed").inputValue(), `${plane.url}/v1/feed`);
  await inspector.field("API key with the scope feed:read").fill(plane.apiKey);
  await inspector.button("Fetch them from the control plane").click();
  await becomes(async () => await inspector.field("Public keys of the feed").inputValue() !== "", true);
  assert.match(await inspector.state.innerText(), /Decoded, not verified/, "another subject");
  await inspector.button("Verify").click();
  await says(inspector.state, /Valid[^]*Feed\s+Not revoked[^]*Position\s+\d+\.\d+[^]*Snapshot\s+\d+ s old/);
  return inspector;
}

/** A user's tokens of one client. */
function pairOf({ access_token: token }, sub) {
  const { client_id } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  return { claims: { client_id, sub } };
}

const RULES = {
  token: ["revoked_token", "The token itself was revoked", "This token", ({ access_token: token }) => ({ token })],
  session: ["revoked_session", "Its session was revoked", "Session", ({ session_id }) => ({ session_id })],
  claims: ["revoked_claims", "Tokens with its claims were revoked", "Other claims", pairOf],
  user: ["revoked_user", "Its user was logged out everywhere", "User", (_, sub) => ({ sub })],
};
for (const [store, plane] of [["the embedded store", embedded], ["Redis", onRedis]]) {
  for (const [by, [code, sentence, step, revocationOf]] of Object.entries(RULES)) {
    // Revoked elsewhere while the page is open: no reload, no click.
    pageTest(`on ${store}, a token is valid until it is revoked by ${by}`, async (page) => {
      const sub = `${by}-user`;
      const session = await plane.call("POST", "/v1/sessions", { sub });
      const inspector = await follow(page, plane, session);
      await page.evaluate(() => { window.isTheSame = true; });
      const { position } = await plane.call("POST", "/v1/revocations", revocationOf(session, sub));
      const shown = await says(inspector.state, new RegExp(`Revoked\\s+${sentence}[^]*\\(${code}\\)`));
      const known = /known by position (\d+)\.(\d+)/.exec(shown);
      const [era, seq] = position.split(".").map(Number);
      assert.equal(Number(known[1]), era);
      assert.ok(Number(known[2]) >= seq, `${known[0]}, revoked at ${position}`);
      const refused = (await inspector.steps()).find(([name]) => name === step);
      assert.deepEqual(refused.slice(1), ["refused", code]);
      assert.equal(await page.getByRole("status").filter({ hasText: "Revoked" }).count(), 1);
      assert.equal(await page.evaluate(() => window.isTheSame), true);
    }, { at: `${plane.url}/`, expects });
  }
}

// The end of one session must not change the verdict on another session of the same user.
pageTest("another session of the same user stays valid", async (page) => {
  const first = await embedded.call("POST", "/v1/sessions", { sub: "two" });
  const second = await embedded.call("POST", "/v1/sessions", { sub: "two" });
  const inspector = await follow(page, embedded, second);
  const { position } = await embedded.call("POST", "/v1/revocations", { session_id: first.session_id });
  await says(inspector.state, new RegExp(`Position\\s+${position.replace(".", "\\.")}`));
  await says(inspector.state, /Valid[^]*Not revoked/);
}, { expects });

pageTest("a feed that cannot be followed leaves the token undecided, with the reason", async (page) => {
  const session = await embedded.call("POST", "/v1/sessions", { sub: "undecided" });
  const inspector = await follow(page, embedded, session);
  for (const [name, value, reason] of [
    ["API key with the scope feed:read", "osk_wrong", /does not know this API key \(status 401\)/],
    ["Feed", `${embedded.url}/v1/nothing`, /no feed at this address \(status 404\)|status 401/],
    ["Feed", "http://127.0.0.1:1/v1/feed", /cannot be fetched/],
  ]) {
    await inspector.field(name).fill(value);
    await inspector.button("Verify").click();
    const shown = await says(inspector.state, reason);
    assert.match(shown, /Waiting for the feed/);
    assert.doesNotMatch(shown, /Valid/);
  }
  await inspector.field("Public keys of the feed").fill("");
  await inspector.button("Verify").click();
  await says(inspector.state, /The public key of the feed is missing/);
}, { expects: [...expects, /401/, /404/, /net::ERR_/], origins: ["http://127.0.0.1:1"] });

// A key that is not the feed's: its snapshots are not accepted.
pageTest("snapshots with the signature of an unknown key are not accepted", async (page) => {
  const session = await embedded.call("POST", "/v1/sessions", { sub: "stranger" });
  const inspector = await follow(page, embedded, session);
  const { feed_public_keys: [strange] } = await onRedis.call("GET", "/v1/keys");
  await inspector.field("Public keys of the feed").fill(strange);
  await inspector.button("Verify").click();
  const shown = await says(inspector.state, /The snapshot is not accepted/);
  assert.doesNotMatch(shown, /Valid/);
}, { expects });
