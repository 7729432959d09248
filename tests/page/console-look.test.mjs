// Every part of the console with a screen reader, in the dark theme and on a small screen, and the way from the
// console to the inspector.

import assert from "node:assert/strict";
import { assertAccessible, assertNarrow } from "./axe.mjs";
import { consoleOf, consoleTests, follow, logIn, register } from "./console.mjs";
import { becomes, says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage();
const consoleTest = consoleTests(pageTest, plane);
const LONG = "x".repeat(120);
const long = { device: LONG, scope: LONG };
await logIn(plane, "alice", { device: "phone" });
await logIn(plane, "alice", long);
await register(plane, "idp", "https://idp.example");
await plane.call("PUT", `/v1/relying-parties/${"y".repeat(64)}`, {
  audience: LONG, backchannel_logout_uri: `http://localhost:9/${LONG}`,
});
await register(plane, "x".repeat(64), `https://${LONG}.example`, { selectors: [[LONG, `/a/${LONG}`]] });
for (const entry of [{ sub: LONG }, { session_id: LONG, issuer: "https://idp.example" }]) {
  await plane.call("POST", "/v1/revocations", { ...entry, reason: LONG });
}

/** Each part, in the state in which it shows the most. */
const PARTS = {
  async Live(it, page) {
    await says(page.getByRole("table", { name: /newest first/ }), /xxx/);
    await page.getByRole("img", { name: /^Revocations per second .* now/ }).waitFor();
  },
  // One follows with a real verifier, the other only reads its stream.
  async Followers(it, page) {
    await follow(plane);
    const streaming = fetch(`${plane.url}/v1/feed/stream`, {
      headers: { authorization: `Bearer ${plane.apiKey}`, "offswitch-follower": `${"ab".repeat(16)};staleness=60;name=sleeper` },
    });
    await says(it.part("Followers"), /of \d+ followers hold the position[\s\S]*sleeper/);
    await says(it.row("js/"), /without a name[\s\S]*all[\s\S]*connected/);
    await says(it.row("sleeper"), /nothing[\s\S]*in (1 min|\d+ s)/);
    await (await streaming).body.cancel();
  },
  async Users(it, page) {
    await it.list("alice");
    await says(it.part("Users and their devices"), /2 devices of alice/);
    await it.button("Log out phone").click();
    const opening = it.part("Open a test session");
    await opening.getByRole("textbox", { name: "User (sub)" }).fill("bob");
    await it.button("Open session").click();
    await it.button("Show Access token").click();
    await says(opening, /eyJ/);
    await page.getByRole("heading", { name: /device of bob/ }).waitFor();
    await it.button("Log out everywhere").click();
  },
  async Revoke(it, page) {
    const revoking = it.part("Revoke");
    await revoking.getByRole("radio", { name: "User", exact: true }).check();
    await it.field("Revoke", "User (sub)").fill("nobody");
    await revoking.getByRole("button", { name: "Revoke" }).click();
    await assertAccessible(page, "the question before a revocation");
    await it.button("Yes, revoke").click();
    await it.recorded("Revoke", /Revoked\./);
    const claims = "Revoke by claims";
    await it.button("Add a claim").click();
    await it.field(claims, "Claim 1").fill("azp");
    await it.field(claims, "Value 1").fill(LONG);
    await it.field(claims, "Claim 2").fill("sub");
    await it.field(claims, "Value 2").fill(LONG);
    await it.button(claims).click();
    await assertAccessible(page, "the question before claims are revoked");
    await assertNarrow(page, "the question before claims are revoked");
    await it.button("Yes, revoke").click();
    await it.recorded(claims, /Revoked\./);
  },
  async Bulk(it, page) {
    const exp = Math.floor(Date.now() / 1000) + 600;
    const buffer = Buffer.from(`jti,exp,issuer\n${LONG},${exp},https://${LONG}.example\na,soon,\nb,${exp}\n`);
    await page.getByLabel("Drop a file here, or choose one")
      .setInputFiles({ name: `${LONG}.csv`, mimeType: "text/csv", buffer });
    await page.getByText("What will be sent").click();
    await it.button("Revoke all of it").waitFor();
    await assertAccessible(page, "the preview of a file");
    await assertNarrow(page, "the preview of a file");
    await it.confirm("Revoke all of it", "Yes, revoke all");
    await says(it.part("Bulk revoke"), /Done[\s\S]*What failed/);
  },
  async Issuers(it, page) {
    await says(it.part("Issuers"), /idp\.example/);
    await it.button("Remove idp").click();
    await it.button("Change idp").click();
    await it.field("Change idp", "Horizon, seconds").fill("1");
    await it.button("Save changes").click();
    await says(it.part("Change idp"), /invalid_issuer/);
    await assertAccessible(page, "an issuer that was refused");
  },
  async Keys(it) {
    await it.button("Rotate the signing key").click();
    await it.button("Yes, rotate").click();
    await says(it.part("Signing keys"), /published, does not sign yet/);
  },
  async "API keys"(it, page) {
    const creating = it.part("Create an API key");
    await creating.getByRole("textbox", { name: /^Name/ }).fill(LONG.slice(0, 100));
    await creating.getByRole("checkbox", { name: "feed:read" }).check();
    await it.button("Create key").click();
    await says(creating, /osk_/);
    await page.getByRole("button", { name: /^Revoke xxx/ }).first().click();
  },
  async "Red button"(it, page) {
    await page.getByLabel("Whose tokens").selectOption("https://idp.example");
    await it.button("Preview").click();
    await says(it.part("Red button"), /switch off every token of idp/);
    await assertAccessible(page, "the red button of an issuer");
    await page.getByLabel("Whose tokens").selectOption("");
    await it.button("Preview").click();
    await says(it.part("Red button"), /It would reach/);
  },
};

for (const [name, prepare] of Object.entries(PARTS)) {
  // Filled with everything that it can show, including long names.
  consoleTest(`${name}: axe finds nothing serious, and it fits 320 px`, async (it, page) => {
    await it.go(name);
    await prepare(it, page);
    await assertAccessible(page, name);
    await assertNarrow(page, name);
  }, { expects: name === "Issuers" ? [/status of 400 /] : [] });
}

// The first view of a new user, and the view after a wrong key.
pageTest("without a key: axe finds nothing serious, and it fits 320 px", async (page) => {
  const it = consoleOf(page);
  await says(it.state, /Ready/);
  await assertAccessible(page, "without a key");
  await it.use("osk_wrong");
  await says(it.state, /not accepted/);
  await assertAccessible(page, "a wrong key");
  await assertNarrow(page, "a wrong key");
}, { at: `${plane.url}/#console`, expects: [/status of 401 /] });

// Charts are redrawn in the colours of the other theme.
consoleTest("charts follow the theme", async (it, page) => {
  const name = /^Records of the log .* now/;
  const canvas = page.getByRole("img", { name }).locator("canvas");
  await page.emulateMedia({ colorScheme: "light" });
  await canvas.waitFor();
  const inkOf = () => canvas.evaluate((one) => {
    const { data } = one.getContext("2d").getImageData(0, 0, one.width, one.height);
    let [sum, count] = [0, 0];
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] < 200) continue;
      sum += data[at] + data[at + 1] + data[at + 2];
      count += 1;
    }
    return sum / count / 3;
  });
  const light = await inkOf();
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction(() => matchMedia("(prefers-color-scheme: dark)").matches);
  // Most of the picture is its grid, which changes from light to dark.
  await becomes(async () => await inkOf() < light - 50, true);
});

// An event passes the token: it is in no address, and the inspector shows it immediately.
consoleTest("an opened session's token is passed to the inspector", async (it, page) => {
  await it.go("Users");
  const opening = it.part("Open a test session");
  await opening.getByRole("textbox", { name: "User (sub)" }).fill("carol");
  await opening.getByRole("textbox", { name: "Device (optional)" }).fill("kiosk");
  await it.button("Open session").click();
  await says(opening, /The session is open\./);
  assert.doesNotMatch(await opening.innerText(), /eyJ|osr_/);
  await it.button("Show Refresh token").click();
  await says(opening, /osr_/);
  await it.button("Show Access token").click();
  const [token] = /eyJ[\w-]+\.[\w-]+\.[\w-]+/.exec(await opening.innerText());
  await it.button("Inspect").click();
  const field = page.getByRole("textbox", { name: "Token", exact: true });
  await field.waitFor();
  assert.equal(await field.inputValue(), token);
  await says(page.getByRole("main"), /carol/);
  assert.equal(new URL(page.url()).hash, "#inspector");
  assert.ok(await page.evaluate(() => JSON.stringify(history.state)?.includes("eyJ") !== true));
  const { sessions } = await plane.call("GET", "/v1/users/carol/sessions");
  assert.deepEqual(sessions.map(({ device }) => device), ["kiosk"]);
  // Back in the console everything is unchanged.
  await page.getByRole("link", { name: "Console" }).click();
  await it.go("Users");
  await says(opening, /osr_/);
});
