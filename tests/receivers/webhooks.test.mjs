// Webhooks signed by the libraries that providers use (standardwebhooks, svix), and as WorkOS documents it,
// against a real control plane with its file of secrets. I13.

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
await writeFile(file, `standard = ["${NEW}", "${OLD}"]\nclerk = "${NEW}"\nworkos = "${WORKOS}"\n`);
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

test("no answer of the API has a secret", async () => {
  const answers = await Promise.all(["/v1/issuers", "/v1/status", "/v1/revocations?limit=100"].map((path) => plane.call("GET", path)));
  const text = JSON.stringify(answers);
  for (const one of (await readFile(file, "utf8")).match(/whsec_\S+?(?=")/g)) assert.ok(!text.includes(one));
  const { receivers: [state] } = answers[1].issuers.find(({ name }) => name === "standard");
  assert.equal(state.last_error.code, "jti_reused");
});
