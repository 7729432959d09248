// Webhooks signed by the libraries that providers use (standardwebhooks, svix), and as WorkOS, Auth0, Okta and
// Supabase document it, against a real control plane with its file of secrets. I13.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { Webhook as Svix } from "svix";
import { startControlPlane } from "../support/control-plane.mjs";

const folder = await mkdtemp(join(tmpdir(), "offswitch-secrets-"));
const secret = (letter) => `whsec_${Buffer.from(letter.repeat(24)).toString("base64")}`;
const [OLD, NEW] = [secret("o"), secret("n")];
const WORKOS = "the secret that WorkOS shows";
const file = join(folder, "secrets.toml");
const SHARED = "a secret that the operator has made";
const shared = ["auth0", "okta", "supabase"].map((name) => `${name} = "${SHARED}"\n`).join("");
await writeFile(file, `${shared}stytch = "${NEW}"\nstandard = ["${NEW}", "${OLD}"]\nclerk = "${NEW}"\nworkos = "${WORKOS}"\n`);
await chmod(file, 0o600);
const plane = await startControlPlane({ OFFSWITCH_RECEIVER_SECRETS_FILE: file, OFFSWITCH_LOG: "debug" });
after(async () => {
  await plane.close();
  await rm(folder, { recursive: true });
});

const issuer = (name) => `https://${name}.example`;
const register = (name, webhook) => plane.call("PUT", `/v1/issuers/${name}`, {
  issuer: issuer(name), receivers: { webhook },
});
await register("standard", { events: { "session.revoked": { session: "/session/id" }, "user.banned": { user: "/user" } } });
await register("clerk", { preset: "clerk" });
await register("workos", { preset: "workos" });
for (const name of ["auth0", "okta", "stytch", "supabase"]) await register(name, { preset: name });
await register("without", { preset: "clerk" });

/** Status and code of the answer. */
async function post(name, body, headers) {
  const answer = await fetch(`${plane.url}/v1/receivers/${name}/webhook`, {
    method: "POST", body, headers: { "content-type": "application/json", ...headers },
  });
  const text = await answer.text();
  return [answer.status, text && JSON.parse(text).code].filter(Boolean);
}

const revoked = async (name) => {
  const { requests } = await plane.call("GET", `/v1/revocations?issuer=${encodeURIComponent(issuer(name))}&limit=100`);
  const ours = requests.filter(({ by }) => by === `receiver:${name}:webhook`);
  return ours.flatMap(({ revocations }) => revocations.map(({ session_id, sub }) => session_id ?? sub));
};

function standard(id, body, { date = new Date(), key = NEW } = {}) {
  return {
    "webhook-id": id, "webhook-timestamp": String(Math.floor(date / 1000)),
    "webhook-signature": new Webhook(key).sign(id, date, body),
  };
}

test("standardwebhooks signs, with the new secret, the old one, and both", async () => {
  const body = (id) => JSON.stringify({ type: "session.revoked", session: { id } });
  assert.deepEqual(await post("standard", body("s-1"), standard("msg_1", body("s-1"))), [200]);
  assert.deepEqual(await post("standard", body("s-2"), standard("msg_2", body("s-2"), { key: OLD })), [200]);
  const both = standard("msg_3", body("s-3"));
  both["webhook-signature"] = `${new Webhook(secret("x")).sign("msg_3", new Date(), body("s-3"))} ${both["webhook-signature"]}`;
  assert.deepEqual(await post("standard", body("s-3"), both), [200]);
  const banned = JSON.stringify({ type: "user.banned", user: "alice" });
  assert.deepEqual(await post("standard", banned, standard("msg_4", banned)), [200]);
  const unknown = JSON.stringify({ type: "user.created" });
  assert.deepEqual(await post("standard", unknown, standard("msg_5", unknown)), [200]);
  // A second delivery, signed again at another time, has no second effect.
  const later = standard("msg_4", banned, { date: new Date(Date.now() + 60_000) });
  assert.deepEqual(await post("standard", banned, later), [200]);
  assert.deepEqual(await revoked("standard"), ["alice", "s-3", "s-2", "s-1"]);
});

test("what is signed wrongly, too old, or not as it was sent is refused and records nothing", async () => {
  const body = JSON.stringify({ type: "session.revoked", session: { id: "never" } });
  const good = standard("msg_9", body);
  const { "webhook-signature": _, ...unsigned } = good;
  const ago = (minutes) => ({ date: new Date(Date.now() - minutes * 60_000) });
  for (const [sent, headers, code] of [
    [body.replace("never", "nevir"), good, "bad_signature"],
    [`${body} `, good, "bad_signature"],
    [body, { ...good, "webhook-id": "msg_10" }, "bad_signature"],
    [body, standard("msg_9", body, { key: secret("x") }), "bad_signature"],
    [body, standard("msg_9", body, ago(6)), "too_old"],
    [body, standard("msg_9", body, ago(-6)), "not_yet_valid"],
    [body, unsigned, "missing_signature"],
    [body, {}, "missing_signature"],
    ["{}", standard("msg_9", "{}"), "malformed"],
    [`{"type":"session.revoked","session":{"id":"a","id":"b"}}`, standard("msg_9", `{"type":"session.revoked","session":{"id":"a","id":"b"}}`), "malformed"],
  ]) {
    assert.deepEqual(await post("standard", sent, headers), [400, code], code);
  }
  const first = JSON.stringify({ type: "session.revoked", session: { id: "first" } });
  assert.deepEqual(await post("standard", first, standard("msg_11", first)), [200]);
  assert.deepEqual(await post("standard", body, standard("msg_11", body)), [400, "jti_reused"]);
  assert.deepEqual(await post("standard", "x".repeat(300_000), {}), [413, "body_too_large"]);
  assert.deepEqual(await post("nobody", body, good), [404, "unknown_receiver"]);
  assert.deepEqual(await post("without", body, good), [503, "no_receiver_secret"]);
  assert.ok(!(await revoked("standard")).includes("never"));
});

test("svix signs as Clerk does", async () => {
  const body = JSON.stringify({
    data: { id: "sess_1", object: "session", status: "ended", user_id: "user_1" }, object: "event", type: "session.ended",
  });
  const date = new Date();
  const headers = {
    "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "svix-timestamp": String(Math.floor(date / 1000)),
    "svix-signature": new Svix(NEW).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", date, body),
  };
  assert.deepEqual(await post("clerk", body, headers), [200]);
  assert.deepEqual(await revoked("clerk"), ["sess_1"]);
});

test("WorkOS signs time and body in one header", async () => {
  const body = JSON.stringify({ id: "event_1", event: "session.revoked", data: { object: "session", id: "session_1" } });
  const signature = (time, key = WORKOS) =>
    `t=${time}, v1=${createHmac("sha256", key).update(`${time}.${body}`).digest("hex")}`;
  assert.deepEqual(await post("workos", body, { "WorkOS-Signature": signature(Date.now()) }), [200]);
  assert.deepEqual(await post("workos", body, { "WorkOS-Signature": signature(Date.now(), "another one of 16 bytes") }), [400, "bad_signature"]);
  assert.deepEqual(await post("workos", body, { "WorkOS-Signature": signature(Date.now() - 400_000) }), [400, "too_old"]);
  assert.deepEqual(await revoked("workos"), ["session_1"]);
});

/** The header that the operator sets at a provider that signs nothing. */
const bearer = (key = SHARED) => ({ authorization: `Bearer ${key}` });

test("a log stream of Auth0 revokes all its users or none", async () => {
  const log = (type, user_id, age = 1000) => ({
    log_id: "90020261130", data: { date: new Date(Date.now() - age).toISOString(), type, user_id, log_id: "90020261130" },
  });
  const batch = [log("s", "auth0|none"), log("slo", "auth0|alice"), log("slo", ""), log("sdu", "auth0|bob")];
  const array = JSON.stringify(batch);
  assert.deepEqual(await post("auth0", array, bearer()), [200]);
  assert.deepEqual(await post("auth0", array, bearer()), [200]);
  const lines = [log("scp", "auth0|carol"), log("slo", "auth0|dave")].map((one) => JSON.stringify(one)).join("\n");
  assert.deepEqual(await post("auth0", lines, bearer()), [200]);
  const never = log("slo", "auth0|never");
  for (const [body, headers, code] of [
    [JSON.stringify([never]), {}, "missing_signature"],
    [JSON.stringify([never]), bearer("another secret of that length"), "bad_signature"],
    [JSON.stringify([never]), { authorization: SHARED }, "bad_signature"],
    [JSON.stringify([never, log("slo", 7)]), bearer(), "malformed"],
    [JSON.stringify([never, log("slo", "auth0|x", -400_000)]), bearer(), "not_yet_valid"],
    [`[${JSON.stringify(never)}],"more":[{}]`, bearer(), "malformed"],
    [JSON.stringify([never]).replace('"type"', '"type":"s","type"'), bearer(), "malformed"],
    [JSON.stringify(Array(1001).fill({ data: { type: "s" } })), bearer(), "malformed"],
  ]) {
    assert.deepEqual(await post("auth0", body, headers), [400, code], body.slice(0, 100));
  }
  assert.deepEqual(await post("auth0", `[${" ".repeat(300_000)}]`, bearer()), [413, "body_too_large"]);
  const twice = await fetch(`${plane.url}/v1/receivers/auth0/webhook`, {
    method: "POST", body: JSON.stringify([never]), headers: [["authorization", `Bearer ${SHARED}`], ["authorization", "x"]],
  });
  assert.equal(twice.status, 400);
  assert.deepEqual(await revoked("auth0"), ["auth0|carol", "auth0|dave", "auth0|alice", "auth0|bob"]);
});

test("Okta asks first, and then sends many events at a time", async () => {
  const ask = (name, headers) => fetch(`${plane.url}/v1/receivers/${name}/webhook`, { headers });
  const challenge = { "X-Okta-Verification-Challenge": "dGhlIGNoYWxsZW5nZQ" };
  const answer = await ask("okta", challenge);
  assert.deepEqual([answer.status, await answer.json()], [200, { verification: "dGhlIGNoYWxsZW5nZQ" }]);
  const answers = await Promise.all([ask("okta", {}), ask("clerk", challenge), ask("nobody", challenge)]);
  assert.deepEqual(answers.map(({ status }) => status), [404, 404, 404]);
  const event = (eventType, actor, target) => ({
    eventType, published: new Date().toISOString(), actor: { id: actor, type: "User" }, target: [{ id: target, type: "User" }],
  });
  const body = JSON.stringify({
    eventType: "com.okta.event_hook", data: { events: [event("user.session.end", "00u1", "00ux"), event("user.lifecycle.suspend", "00ux", "00u2")] },
  });
  assert.deepEqual(await post("okta", body, bearer("another secret of that length")), [400, "bad_signature"]);
  assert.deepEqual(await post("okta", body, bearer()), [200]);
  assert.deepEqual(await revoked("okta"), ["00u1", "00u2"]);
});

test("a deleted row of Supabase revokes its session or its user", async () => {
  const row = (table, id) => JSON.stringify({ type: "DELETE", table, schema: "auth", record: null, old_record: { id, user_id: "u" } });
  assert.deepEqual(await post("supabase", row("sessions", "6f1c"), bearer()), [200]);
  assert.deepEqual(await post("supabase", row("users", "11aa"), bearer()), [200]);
  assert.deepEqual(await post("supabase", row("identities", "none"), bearer()), [200]);
  assert.deepEqual(await post("supabase", row("sessions", 6), bearer()), [400, "malformed"]);
  assert.deepEqual(await revoked("supabase"), ["11aa", "6f1c"]);
});

test("svix signs as Stytch does", async () => {
  const body = JSON.stringify({
    action: "DELETE", event_id: "webhook-event-test-0", id: "member-test-0", object_type: "member", project_id: "project-test-0",
    source: "DASHBOARD", timestamp: new Date().toISOString(), vertical: "B2B",
  });
  const date = new Date();
  const headers = (key) => ({
    "svix-id": "msg_1", "svix-timestamp": String(Math.floor(date / 1000)), "svix-signature": new Svix(key).sign("msg_1", date, body),
  });
  assert.deepEqual(await post("stytch", body, headers(OLD)), [400, "bad_signature"]);
  assert.deepEqual(await post("stytch", body, headers(NEW)), [200]);
  assert.deepEqual(await revoked("stytch"), ["member-test-0"]);
});

test("no answer of the API has a secret", async () => {
  const answers = await Promise.all(["/v1/issuers", "/v1/status", "/v1/revocations?limit=100"].map((path) => plane.call("GET", path)));
  const text = JSON.stringify(answers);
  assert.ok(!text.includes(SHARED));
  for (const one of (await readFile(file, "utf8")).match(/whsec_\S+?(?=")/g)) assert.ok(!text.includes(one));
  const { receivers: [state] } = answers[1].issuers.find(({ name }) => name === "standard");
  assert.equal(state.last_error.code, "jti_reused");
});
