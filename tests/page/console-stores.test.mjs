// The console's main path with each store: a verifier that follows the feed enforces each revocation, and the
// log has it.

import assert from "node:assert/strict";
import { after } from "node:test";
import { startControlPlane } from "../support/control-plane.mjs";
import { now } from "../support/fixture.mjs";
import { startRedis } from "../support/redis.mjs";
import { consoleTests, follow, logIn, newestOf } from "./console.mjs";
import { becomes, openBrowser, says } from "./open.mjs";

const redis = await startRedis();
after(() => redis.close());
const planes = {
  embedded: await startControlPlane(),
  Redis: await startControlPlane({ OFFSWITCH_STORE: redis.url }),
};
for (const plane of Object.values(planes)) after(() => plane.close());
const pageTest = await openBrowser(planes.embedded.url);

for (const [store, plane] of Object.entries(planes)) {
  const consoleTest = consoleTests(pageTest, plane);
  const { verifier, judges } = await follow(plane);
  const code = async (token) => (await verifier.verify(token)).code;
  const sessionsOf = async (sub) => {
    const { sessions } = await plane.call("GET", `/v1/users/${sub}/sessions`);
    return sessions.map(({ device }) => device);
  };

  // A user with two devices: the phone is logged out, then everything.
  consoleTest(`${store}: one device is logged out, then all of the user's`, async (it) => {
    const phone = await logIn(plane, "alice", { device: "phone" });
    const laptop = await logIn(plane, "alice", { device: "laptop" });
    const region = "Users and their devices";
    await it.go("Users");
    await it.list("alice");
    await says(it.part(region), /2 devices of alice/);
    await says(it.row("phone"), new RegExp(phone.session_id));
    await says(it.row("laptop"), new RegExp(laptop.session_id));
    await it.button("Log out phone").click();
    await it.button("Yes, log out").click();
    const one = await it.recorded(region, /The device is logged out\./);
    await says(it.part(region), /1 device of alice/);
    assert.deepEqual(await sessionsOf("alice"), ["laptop"]);
    await judges(phone.access_token, "revoked_session");
    assert.equal(await code(laptop.access_token), "valid");
    await it.button("Log out everywhere").click();
    await it.button("Yes, log out everywhere").click();
    const all = await it.recorded(region, /Logged out everywhere\./);
    await says(it.part(region), /0 devices of alice[\s\S]*No active sessions/);
    assert.deepEqual(await sessionsOf("alice"), []);
    await judges(laptop.access_token, "revoked_user");
    const { requests } = await plane.call("GET", "/v1/revocations?limit=2");
    assert.deepEqual(requests.map(({ position }) => position), [all.position, one.position]);
    assert.deepEqual([one.durability, all.durability], ["synced", "synced"]);
  });

  // Every kind of selector, each with a token that is revoked afterwards, or only not refreshed.
  consoleTest(`${store}: each kind of revocation reaches a verifier`, async (it) => {
    await it.go("Revoke");
    const bystander = await logIn(plane, "dave");
    for (const { kind, fields, entry, verdict } of KINDS) {
      const login = await logIn(plane, "carol");
      assert.equal(await code(login.access_token), "valid");
      const values = fields({ ...login, kid: kidOf(login.access_token) });
      await it.part("Revoke").getByRole("radio", { name: kind, exact: true }).check();
      for (const [name, value] of Object.entries(values)) {
        await it.field("Revoke", name).fill(value);
      }
      await it.field("Revoke", REASON).fill(`${kind} on ${store}`);
      if (kind === "Signing key") assert.equal(await code(bystander.access_token), "valid");
      await it.confirm("Revoke", "Yes, revoke", "Revoke");
      await becomes(async () => (await newestOf(plane)).reason, `${kind} on ${store}`);
      const newest = await newestOf(plane);
      const isShown = new RegExp(`Revoked\\.[\\s\\S]*${newest.position}`);
      const { position, durability } = await it.recorded("Revoke", isShown);
      assert.deepEqual([position, durability], [newest.position, "synced"]);
      assert.deepEqual(newest.revocations.map((one) => one.kind), [entry]);
      await becomes(async () => verifier.status().position, position);
      await judges(login.access_token, verdict);
      if (entry === "refresh") assert.equal(await refreshes(plane, login), 400);
    }
    await judges(bystander.access_token, "revoked_key");
  });

  // The new key is shown before it signs, and the previous one still signs.
  consoleTest(`${store}: a rotated key is shown as pending until it signs`, async (it) => {
    await logIn(plane, "erin");
    await it.go("Keys");
    await it.button("Rotate the signing key").click();
    await it.button("Yes, rotate").click();
    await says(it.part("Signing keys"), /The new key is published: (\S+)\. It signs from/);
    const { token_keys: keys } = await plane.call("GET", "/v1/keys");
    const [pending, ...more] = keys.filter(({ state }) => state === "pending");
    assert.deepEqual(more, []);
    const isShown = new RegExp(`${pending.kid}[\\s\\S]*in \\d+ s`);
    await says(it.row("published, does not sign yet"), isShown);
    await says(it.row("signs new tokens"), /EdDSA\s+active/);
    await it.button("Rotate (a key is pending already)").waitFor();
  });

  // The preview shows the numbers of the control plane; only the exact phrase enables the button.
  consoleTest(`${store}: the red button needs a preview and a typed phrase`, async (it, page) => {
    const logins = [];
    for (const sub of ["frank", "frank", "grace"]) logins.push(await logIn(plane, sub));
    for (const { access_token: token } of logins) assert.equal(await code(token), "valid");
    await it.go("Red button");
    await it.field("Red button", REASON).fill("drill");
    await it.button("Preview").click();
    const order = { dry_run: true, sessions: "end" };
    const { reach, dead_kids } = await plane.call("POST", "/v1/red-button", order);
    const before = await newestOf(plane);
    const text = await says(it.part("Red button"), /It would reach/);
    for (const name of ["users", "sessions", "tokens", "keys"]) {
      assert.match(text, new RegExp(`${name}\\s+${reach[name]}\\b`), name);
    }
    for (const kid of dead_kids) assert.ok(text.includes(kid), kid);
    const phrase = `switch off ${reach.tokens} tokens`;
    const field = page.getByRole("textbox", { name: /^To press it, type/ });
    const press = it.button("Press the red button");
    const wrong = ["", phrase.slice(0, -1), `${phrase} `, phrase.toUpperCase(), `a${phrase}`];
    for (const typed of wrong) {
      await field.fill(typed);
      await field.press("Enter");
      assert.ok(await press.isDisabled(), typed);
    }
    assert.deepEqual(await newestOf(plane), before);
    for (const { access_token: token } of logins) assert.equal(await code(token), "valid");
    // The phrase also confirms what happens to the sessions.
    await field.fill(phrase);
    await it.part("Red button").getByRole("radio", { name: /^Keep the sessions/ }).check();
    await becomes(() => press.count(), 0);
    await it.part("Red button").getByRole("radio", { name: /^End every session/ }).check();
    assert.ok(await press.isDisabled(), "the phrase must be typed again");
    await field.fill(phrase);
    await press.click();
    const done = await says(it.part("Red button"), /Pressed\. Every token issued before is revoked\./);
    await becomes(async () => (await newestOf(plane)).reason, "drill");
    assert.ok(done.includes((await newestOf(plane)).position), done);
    assert.match(done, /Durability\s+synced/);
    for (const { access_token: token } of logins) await judges(token, "revoked_key");
    assert.deepEqual(await sessionsOf("frank"), []);
  });
}

// The control plane works, its store does not: the message differs from that for no response.
consoleTests(pageTest, planes.Redis)("a store that does not answer is reported as such", async (it) => {
  await says(it.state, /Ready/);
  await redis.kill();
  await says(it.state, /Not ready/);
  await says(it.part("Store and process"), /does not answer/);
  await it.go("Revoke");
  await it.part("Revoke").getByRole("radio", { name: "User", exact: true }).check();
  await it.field("Revoke", "User (sub)").fill("alice");
  await it.confirm("Revoke", "Yes, revoke", "Revoke");
  await says(it.part("Revoke"), /The store does not answer\. Nothing was acknowledged\./);
}, { expects: [/status of 503 /] });

/** The status of the answer to a refresh. */
async function refreshes(plane, { refresh_token }) {
  const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token });
  return (await fetch(`${plane.url}/oauth/token`, { method: "POST", body })).status;
}

const kidOf = (token) => JSON.parse(Buffer.from(token.split(".")[0], "base64url")).kid;

const REASON = "Reason (optional, recorded in the log)";
const KINDS = [
  {
    kind: "Access token", entry: "token", verdict: "revoked_token",
    fields: ({ access_token: token }) => ({ "Access token": ` ${token}\n` }),
  },
  {
    kind: "Token by its jti", entry: "token", verdict: "revoked_token",
    fields: ({ jti }) => ({ jti, "exp (optional; the token's own)": `${now() + 600}` }),
  },
  {
    kind: "Session", entry: "session", verdict: "revoked_session",
    fields: ({ session_id }) => ({ "Session id": session_id }),
  },
  {
    kind: "User", entry: "user", verdict: "revoked_user",
    fields: () => ({ "User (sub)": "carol" }),
  },
  {
    kind: "Refresh token", entry: "refresh", verdict: "valid",
    fields: ({ refresh_token: token }) => ({ "Refresh token": token }),
  },
  // Last, because it revokes every token.
  { kind: "Signing key", entry: "key", verdict: "revoked_key", fields: ({ kid }) => ({ kid }) },
];
