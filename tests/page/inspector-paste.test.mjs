// Texts that users paste: token responses, commands, headers. And their work with a decoded token.

import assert from "node:assert/strict";
import { consoleOf, logIn } from "./console.mjs";
import { becomes, says, servePage } from "./open.mjs";
import { inspectorOf, plainClaims, unsigned } from "./inspector.mjs";
import { mint, signingKey } from "../support/fixture.mjs";

const { plane, pageTest } = await servePage();
const token = unsigned(plainClaims({ sub: "pasted" }));

/** D62: each is pasted as a whole. */
const PASTED = {
  "a token response": [JSON.stringify({ access_token: token, token_type: "Bearer", expires_in: 600 }, null, 2),
    /the rest of the JSON/],
  "a response that has the token inside": [JSON.stringify({ data: { session: { idToken: token } } }),
    /the rest of the JSON/],
  "a curl command": [`curl -sS 'https://api.example/?a=1' \\\n  -H 'Accept: */*' -H "Authorization: Bearer ${token}" -X POST`,
    /the rest of the command/],
  "a curl command with the token elsewhere": [`curl https://api.example/check -d token=${token} -v`,
    /the rest of the command/],
  "an Authorization header": [`Authorization: Bearer ${token}`, /the header name/],
  "several headers": [`Host: api.example\r\nAuthorization: Bearer ${token}\r\nAccept: */*\r\n`,
    /the other headers/],
};
for (const [what, [pasted, ignored]] of Object.entries(PASTED)) {
  pageTest(`the token is found in ${what}`, async (page) => {
    const inspector = inspectorOf(page);
    await inspector.token.fill(pasted);
    await says(inspector.row("sub"), /pasted/);
    await says(inspector.tokenCard, ignored);
    assert.equal(await page.locator(".token-colours .first").first().innerText(), token.split(".")[0]);
  });
}

// The coloured text must be exactly behind the text of the field.
pageTest("the coloured token has the size of the field's own text", async (page) => {
  const inspector = inspectorOf(page);
  await inspector.token.fill(`Authorization: Bearer ${unsigned(plainClaims({ pad: "x".repeat(900) }))}\n`);
  const sizes = await page.evaluate(() => {
    const field = document.querySelector(".token-input");
    const colours = document.querySelector(".token-colours");
    return [field, colours].map(({ clientWidth, scrollHeight }) => [clientWidth, scrollHeight]);
  });
  assert.deepEqual(sizes[0], sizes[1]);
});

// D62: other views of the claims.
pageTest("claims are shown as JSON, copied one by one, and folded", async (page) => {
  const inspector = inspectorOf(page);
  const list = Array.from({ length: 30 }, (_, index) => `role-${index}`);
  await inspector.token.fill(unsigned(plainClaims({ roles: list, act: { sub: "desk" } })));
  await says(inspector.row("act"), /"sub": "desk"/);
  const roles = inspector.row("roles");
  await says(roles, /array, 30 items/);
  assert.equal(await roles.getByText("role-29").isVisible(), false);
  await roles.getByText("array, 30 items").click();
  await roles.getByText("role-29").waitFor();
  await inspector.button("Copy sub").click();
  await becomes(() => page.evaluate(() => navigator.clipboard.readText()), "alice");
  await inspector.claims.getByRole("button", { name: "JSON" }).click();
  const json = page.getByRole("group", { name: "Claims as JSON" });
  assert.equal(JSON.parse(await json.innerText()).act.sub, "desk");
  assert.equal(await inspector.row("sub").count(), 0);
}, { context: { permissions: ["clipboard-read", "clipboard-write"] } });

// D63: the console's key is enough; the user enters nothing about the feed.
pageTest("signed in, a token is checked with the control plane's feed and revoked with one button", async (page) => {
  const it = consoleOf(page);
  const inspector = inspectorOf(page);
  const session = await logIn(plane, "dora");
  await inspector.token.fill(session.access_token);
  await page.getByRole("link", { name: "Sign in to revoke" }).click();
  await it.use(plane.apiKey);
  await says(it.scopes, /granted:\s+feed:read/);
  await page.getByRole("link", { name: "Inspector" }).click();
  await says(inspector.verifying, /The feed of this control plane, with the API key of the console/);
  await inspector.button("Verify").click();
  await says(inspector.state, /Valid[^]*Not revoked/);
  await inspector.button("Revoke").click();
  await page.getByRole("group", { name: /The token is sent to this control plane/ }).waitFor();
  await inspector.button("Yes, revoke it").click();
  await says(inspector.tokenCard, /The token is revoked\.[^]*Position/);
  await says(inspector.state, /Revoked[^]*revoked_token/);
  await page.getByRole("link", { name: "Console" }).click();
  await it.button("Sign out").click();
  await page.getByRole("link", { name: "Inspector" }).click();
  await page.getByRole("link", { name: "Sign in to revoke" }).waitFor();
  assert.equal(await inspector.button("Revoke").count(), 0);
}, { expects: [/404.*openid-configuration/] });

// An attacker can write any claims: its jti may be that of another user's token.
pageTest("revoking a token of another issuer names its claims, and says if its signature is not verified", async (page) => {
  const it = consoleOf(page);
  const inspector = inspectorOf(page);
  const key = await signingKey("EdDSA");
  const claims = { iss: "https://idp.example", jti: "their\u202Ejti", exp: 1_900_000_000 };
  await page.getByRole("link", { name: "Console" }).click();
  await it.use(plane.apiKey);
  await says(it.scopes, /granted:\s+feed:read/);
  await page.getByRole("link", { name: "Inspector" }).click();
  const asks = async (pattern) => {
    await inspector.button("Revoke").click();
    const question = page.getByRole("group", { name: /every verifier will refuse that token/ });
    const text = await says(question, pattern);
    await question.getByRole("button", { name: "Cancel" }).click();
    return text;
  };
  const named = /“their⟨U\+202E⟩jti” of https:\/\/idp\.example, with the exp 2030-03-17 17:46:40 UTC,/;
  await inspector.token.fill(unsigned(plainClaims(claims)));
  assert.match(await asks(named), /The signature is not verified/);
  const other = await signingKey("EdDSA");
  await inspector.verify({ token: await mint(key, claims), keys: { ...other.jwk, kid: key.jwk.kid } });
  await says(inspector.state, /bad_signature/);
  assert.match(await asks(named), /The signature is not verified/);
  await inspector.verify({ token: await mint(key, claims), keys: key.jwk });
  await says(inspector.part("Why, step by step"), /Signature passed/);
  assert.doesNotMatch(await asks(named), /The signature is not verified/);
}, { expects: [/404.*openid-configuration/] });
