// The issuers whose tokens can be revoked, in the console: registered, changed, revoked by claims, with a red
// button each, and removed. A verifier that was configured before enforces all of it.

import assert from "node:assert/strict";
import { mint, now, signingKey } from "../support/fixture.mjs";
import { consoleTests, follow, newestOf, register } from "./console.mjs";
import { becomes, says, servePage } from "./open.mjs";

const { plane, pageTest } = await servePage();
const reader = await plane.createKey("reader", "revocations:write");
const consoleTest = consoleTests(pageTest, plane);
const IDP = "https://idp.example";
const key = await signingKey("EdDSA");
const { judges } = await follow(plane, {
  issuer: IDP, keys: { keys: [key.jwk] }, requiredClaims: ["exp", "iat", "sub"],
});
/** A token of the issuer that is valid for ten minutes. */
const tokenOf = (claims) => mint(key, { iss: IDP, iat: now(), exp: now() + 600, ...claims });
const list = async () => (await plane.call("GET", "/v1/issuers")).issuers;
const CLAIMS = "Revoke by claims";

// I05: a form with the members of PUT; wrong fields are marked.
consoleTest("an issuer is registered, refused if a field is wrong, changed and removed", async (it, page) => {
  await it.go("Issuers");
  await says(it.part("Issuers"), /No issuer is registered/);
  const form = "Register an issuer";
  const named = (name, region = form) => it.part(region).getByRole("textbox", { name });
  await it.button("Register issuer").click();
  await says(it.part(form), /Enter a name for the issuer first/);
  await named(/^Name/).fill("temp");
  await named(/^Issuer/).fill("https://temp.example");
  await named("Horizon, seconds").fill("1");
  await it.button("Register issuer").click();
  await says(it.part(form), /horizon_seconds: must be from 60 to 31536000[^]*invalid_issuer/);
  assert.equal(await named("Horizon, seconds").getAttribute("aria-invalid"), "true");
  assert.notEqual(await named(/^Issuer/).getAttribute("aria-invalid"), "true");
  await named("Horizon, seconds").fill("5400");
  await named("User id claim").fill("oid");
  await named(/^Selectors/).fill("azp\n\nazp + oid");
  await named("Back-channel logout clients").fill("app, web");
  await named(/^Other receivers/).fill('{"webhook": {"preset": "clerk"');
  await it.button("Register issuer").click();
  await says(it.part(form), /Other receivers: this is not JSON/);
  await named(/^Other receivers/).fill('{"webhook": {"preset": "clerk"}}');
  await it.button("Register issuer").click();
  await says(it.part(form), /Saved\.[^]*temp\.example[^]*Position\s+\d+\.\d+/);
  await says(it.row("temp.example"), /1 h 30 min[^]*user\s+oid[^]*azp \+ oid[^]*never[^]*backchannel-logout\s*0 accepted, 0 ignored; 0 failed[^]*webhook/);
  await it.button("Change temp").click();
  const change = "Change temp";
  assert.equal(await named(/^Discovery/, change).inputValue(), "");
  assert.equal(await named(/^Selectors/, change).inputValue(), "azp\nazp + oid");
  await named("Horizon, seconds", change).fill("7200");
  await it.button("Save changes").click();
  await says(it.row("temp.example"), /2 h/);
  const [one] = await list();
  assert.deepEqual([one.horizon_seconds, one.user_id_claim, one.selectors],
    [7200, "oid", [["azp"], ["azp", "oid"]]]);
  // I10: a change of another member keeps the receiver.
  const receiver = { client_ids: ["app", "web"], revokes: "session" };
  assert.deepEqual(one.receivers.backchannel_logout, receiver);
  assert.equal(one.receivers.webhook.preset, "clerk");
  await plane.call("PUT", "/v1/issuers/temp", { issuer: one.issuer, receivers: { backchannel_logout: receiver } });
  await fetch(`${plane.url}/v1/receivers/temp/backchannel-logout`, {
    method: "POST", body: new URLSearchParams({ logout_token: "x.y.z" }),
  });
  assert.match(JSON.stringify((await list())[0].receiver_status), /"failed":1/);
  await it.button("Remove temp").click();
  await page.getByRole("group", { name: /Nothing of “https:\/\/temp\.example” can be revoked/ })
    .getByRole("button", { name: "Cancel" }).click();
  await it.confirm("Remove temp", "Yes, remove it");
  await says(it.part("Issuers"), /temp is removed[^]*No issuer is registered/);
  assert.deepEqual(await list(), []);
}, { expects: [/status of 400 /] });

// I04: a preset fills the empty fields; a claim that the tokens do not have stays empty when another field changes.
consoleTest("an issuer is registered by a preset", async (it) => {
  await it.go("Issuers");
  const form = "Register an issuer";
  const named = (name, region = form) => it.part(region).getByRole("textbox", { name });
  await named(/^Name/).fill("auth0");
  await named(/^Preset/).fill("auth0");
  await named(/^Parameters/).fill("domain");
  await it.button("Register issuer").click();
  await says(it.part(form), /“domain” needs a name/);
  await named(/^Parameters/).fill("domain = tenant");
  await it.button("Register issuer").click();
  await says(it.part(form), /parameters: the preset auth0: domain is "tenant"[^]*invalid_issuer/);
  assert.equal(await named(/^Parameters/).getAttribute("aria-invalid"), "true");
  await named(/^Parameters/).fill("domain = tenant.eu.auth0.com");
  await it.button("Register issuer").click();
  await says(it.row("tenant.eu.auth0.com"), /1 d[^]*token\s+jti[^]*session\s+none[^]*user\s+sub/);
  await it.button("Change auth0").click();
  await named("Horizon, seconds", "Change auth0").fill("7200");
  await it.button("Save changes").click();
  await says(it.row("tenant.eu.auth0.com"), /2 h[^]*session\s+none/);
  await it.confirm("Remove auth0", "Yes, remove it");
  await says(it.part("Issuers"), /auth0 is removed/);
}, { expects: [/status of 400 /] });

// I10: the last refusal of a receiver is shown, and a long reason leaves the other columns their space.
consoleTest("the last error of a receiver is shown next to the claims of its issuer", async (it, page) => {
  await register(plane, "idp", IDP, {
    jwks_uri: "http://127.0.0.1:9/a/rather/long/path/of/keys", receivers: { backchannel_logout: { client_ids: ["app"] } },
  });
  const body = new URLSearchParams({ logout_token: "x.y.z" });
  assert.equal((await fetch(`${plane.url}/v1/receivers/idp/backchannel-logout`, { method: "POST", body })).status, 503);
  await it.go("Issuers");
  await says(it.row("https://idp.example"), /backchannel-logout[^]*1 failed[^]*keys_unavailable/);
  for (const name of await page.locator(".roles dt").all()) {
    const { height } = await name.boundingBox();
    assert.ok(height < 30, `${await name.innerText()} takes ${height} pixels: more than one line`);
  }
});

// O06: what the control plane finds is shown, with what to do.
consoleTest("an issuer is checked end to end", async (it) => {
  await register(plane, "idp", IDP, { jwks_uri: "http://127.0.0.1:9/keys" });
  await it.go("Issuers");
  await it.button("Check idp").click();
  await says(it.part("Issuers"), /idp: see what to do:[^]*ok\s+control_plane[^]*ok\s+feed[^]*failed\s+key_set\s+idp\s*: http:\/\/127\.0\.0\.1:9\/keys/);
});

// I11: a stream that cannot be set up is shown with the reason; a change of another member keeps it.
consoleTest("a stream of events that is not set up is shown", async (it) => {
  const stream = { transmitter: "http://127.0.0.1:9", subjects: [{ format: "opaque", id: "tenant" }] };
  await register(plane, "idp", IDP, { receivers: { events: { audiences: ["me"], stream } } });
  await becomes(async () => {
    const { issuers: [one] } = await plane.call("GET", "/v1/status");
    return one.receivers[0].stream?.error?.code;
  }, "transmitter_unavailable");
  await it.go("Issuers");
  await says(it.row(IDP), /events[^]*stream[^]*transmitter_unavailable[^]*ssf-configuration[^]*not polled yet/);
  await it.button("Change idp").click();
  await it.part("Change idp").getByRole("textbox", { name: "Horizon, seconds" }).fill("7200");
  await it.button("Save changes").click();
  await says(it.row(IDP), /2 h/);
  assert.deepEqual((await list())[0].receivers.events.stream, stream);
});

// I07: the user chooses the issuer; the answer shows the end, and the claims by which verifiers look it up.
consoleTest("tokens are revoked by a pair of claims of a registered issuer", async (it, page) => {
  await register(plane, "idp", IDP, { horizon_seconds: 3600 });
  const [both, other] = await Promise.all([
    tokenOf({ sub: "alice", azp: "app" }), tokenOf({ sub: "alice", azp: "else" }),
  ]);
  await judges(both, "valid");
  await it.go("Revoke");
  await it.part(CLAIMS).getByLabel("Issuer", { exact: true }).selectOption(IDP);
  await it.button(CLAIMS).click();
  await says(it.part(CLAIMS), /Claim 1: enter the name of the claim/);
  await it.field(CLAIMS, "Claim 1").fill("azp");
  await it.field(CLAIMS, "Value 1").fill("app");
  await it.button("Add a claim").click();
  await it.field(CLAIMS, "Claim 2").fill("sub");
  await it.field(CLAIMS, "Value 2").fill("alice");
  await it.button(CLAIMS).click();
  await page.getByRole("group", { name: /of https:\/\/idp\.example .*azp is “app” and sub is “alice”/ })
    .getByRole("button", { name: "Yes, revoke" }).click();
  await it.recorded(CLAIMS, /Revoked\.[^]*Stays until\s+\d[^]*Looked up by\s+azp \+ sub/);
  await judges(both, "revoked_claims");
  await judges(other, "valid");
  const { revocations: [entry] } = await newestOf(plane);
  assert.deepEqual([entry.kind, entry.issuer, entry.claims], ["claims", IDP, { azp: "app", sub: "alice" }]);
  await it.go("Live");
  await says(it.row("azp: app + sub: alice"), /claims[^]*of https:\/\/idp\.example/);
});

// A float would change it: the number is sent as typed.
consoleTest("claims can be numbers and booleans, and a refused one is marked", async (it, page) => {
  await it.go("Revoke");
  await it.field(CLAIMS, "Claim 1").fill("tenant");
  await page.getByLabel("Type 1").selectOption("number");
  await it.field(CLAIMS, "Value 1").fill("1.5");
  await it.button(CLAIMS).click();
  await says(it.part(CLAIMS), /its value must be a whole number of 64 bits/);
  await it.field(CLAIMS, "Value 1").fill("9007199254740993");
  await it.button("Add a claim").click();
  await it.field(CLAIMS, "Claim 2").fill("admin");
  await page.getByLabel("Type 2").selectOption("boolean");
  await it.field(CLAIMS, "Value 2").fill("true");
  const sent = page.waitForRequest(/\/v1\/revocations$/);
  await it.confirm(CLAIMS, "Yes, revoke");
  assert.match((await sent).postData(), /"claims":\{"tenant":9007199254740993,"admin":true\}/);
  await it.recorded(CLAIMS, /Looked up by\s+admin \+ tenant/);
  await it.button("Remove claim 2").click();
  await it.field(CLAIMS, "Claim 1").fill("exp");
  await it.confirm(CLAIMS, "Yes, revoke");
  await says(it.part(CLAIMS), /tokens are not revoked by exp; give issued_before instead/);
  assert.equal(await it.field(CLAIMS, "Claim 1").getAttribute("aria-invalid"), "true");
  assert.equal(await page.getByRole("textbox", { name: /^Issued before/ }).getAttribute("aria-invalid"), "false");
}, { expects: [/status of 400 /] });

// One issuer's tokens and no others: our own keys and sessions stay valid.
consoleTest("the red button of an issuer revokes its tokens alone", async (it, page) => {
  await register(plane, "idp", IDP);
  const old = await tokenOf({ sub: "bob", iat: now() - 5 });
  await judges(old, "valid");
  const { token_keys: before } = await plane.call("GET", "/v1/keys");
  await it.go("Red button");
  await page.getByLabel("Whose tokens").selectOption(IDP);
  assert.equal(await page.getByRole("radio", { name: /^End every session/ }).count(), 0);
  await it.button("Preview").click();
  await says(it.part("Red button"), /tokens issued before/);
  await page.getByLabel(/^To press it, type/).fill("switch off every token of idp");
  await it.button("Press the red button").click();
  await says(it.part("Red button"), /Pressed\.[^]*Epoch/);
  await judges(old, "revoked_epoch");
  const { token_keys: after } = await plane.call("GET", "/v1/keys");
  assert.deepEqual(after, before);
  await it.go("Issuers");
  await becomes(async () => /never/.test(await it.row(IDP).innerText()), false);
});

// Every key may see the list; changing it requires a scope.
consoleTest("a key without the scope sees the issuers, and cannot change them", async (it) => {
  await register(plane, "idp", IDP);
  await it.go("Issuers");
  await says(it.part("Issuers"), /lacks the scope issuers:write[^]*idp\.example/);
  assert.equal(await it.button("Change idp").count(), 0);
  assert.equal(await it.button("Register issuer").count(), 0);
}, { apiKey: reader, expects: [/status of 403 /] });

// L07: what operators see of a relying party that does not answer.
consoleTest("relying parties are shown with what was delivered, what waits and the last error", async (it) => {
  await it.go("Issuers");
  await says(it.part("Relying parties"), /No relying party is registered/);
  const uri = "http://127.0.0.1:9/logout";
  await plane.call("PUT", "/v1/relying-parties/shop", { audience: "shop-client", backchannel_logout_uri: uri });
  await plane.call("POST", "/v1/sessions", { sub: "alice" });
  await plane.call("DELETE", "/v1/sessions?sub=alice");
  await becomes(async () => {
    await it.go("Users");
    await it.go("Issuers");
    return /no_answer/.test(await it.part("Relying parties").innerText());
  }, true);
  await says(it.part("Relying parties"), /shop\s+shop-client[^]*back-channel logout[^]*0 delivered[^]*since/);
});
