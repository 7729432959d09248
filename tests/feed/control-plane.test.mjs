// The package against a real control plane.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createVerifier } from "offswitch";
import { fileStore } from "offswitch/file-store";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";

const plane = await startControlPlane();
const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
const open = [plane];
after(async () => {
  for (const one of open.reverse()) await one.close();
});

async function follow(feed = {}) {
  const verifier = await createVerifier({
    issuer: plane.url,
    audience: "api",
    keys: `${plane.url}/.well-known/jwks.json`,
    requiredClaims: ["exp", "iat", "sub", "jti", "sid", "ver"],
    feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey, ...feed },
  });
  open.push(verifier);
  assert.ok(verifier.isReady, JSON.stringify(verifier.status()));
  return verifier;
}

const logIn = (sub) => plane.call("POST", "/v1/sessions", { sub });

/** Seconds from the answer to a revocation until the watcher of `token` is called, and the code it gets. */
async function timeOf(verifier, token, revoke) {
  let reported;
  verifier.onRevoked(token, ({ code }) => { reported = { code, at: performance.now() }; });
  await revoke();
  const began = performance.now();
  assert.ok(await until(() => reported !== undefined, 30), "the watcher was not called");
  assert.equal(verifier.verifySync(token).code, reported.code);
  return { code: reported.code, seconds: Math.max(0, reported.at - began) / 1000 };
}

// S15: the fastest of five counts, so that a busy machine does not matter; a poll would take an hour.
test("a revocation reaches a verifier over the stream within a second", async () => {
  const verifier = await follow({ pollSeconds: 3600 });
  assert.ok(await until(() => verifier.status().following === "stream"), "the stream has begun");
  const times = [];
  for (let count = 0; count < 5; count += 1) {
    const { access_token: token } = await logIn("alice");
    assert.equal((await verifier.verify(token)).code, "valid");
    const revoke = () => plane.call("POST", "/v1/revocations", { token });
    const { code, seconds } = await timeOf(verifier, token, revoke);
    assert.equal(code, "revoked_token");
    times.push(seconds);
  }
  assert.ok(Math.min(...times) < 1, times.join());
});

for (const how of ["stream", "long-poll", "poll"]) {
  // R-rows, S15: each kind of revocation, each way of following.
  test(`each kind of revocation reaches a verifier that follows by ${how}`, async () => {
    const verifier = await follow({ follow: how, pollSeconds: 0.2 });
    const session = await logIn("bob");
    const user = await logIn("carol");
    const bystander = await logIn("dave");
    const kinds = {
      revoked_session: [session.access_token, () =>
        plane.call("DELETE", `/v1/users/bob/sessions/${session.session_id}`)],
      revoked_user: [user.access_token, () => plane.call("DELETE", "/v1/users/carol/sessions")],
    };
    for (const [code, [token, revoke]] of Object.entries(kinds)) {
      assert.equal((await verifier.verify(token)).code, "valid");
      assert.equal((await timeOf(verifier, token, revoke)).code, code);
    }
    assert.equal((await verifier.verify(bystander.access_token)).code, "valid");
    assert.equal(verifier.status().feed.failures, 0, JSON.stringify(verifier.status().feed));
  });
}

// S09, S15: after a crash of the control plane, the next stream continues where the last one ended.
test("a verifier continues after the control plane was killed and restarted", async () => {
  const verifier = await follow({ pollSeconds: 0.2 });
  const { access_token: token } = await logIn("erin");
  assert.equal((await verifier.verify(token)).code, "valid");
  const [era, seq] = verifier.since().split(".").map(Number);
  await plane.kill();
  assert.equal(verifier.verifySync(token).code, "valid", "the held snapshot is fresh for a while");
  await plane.start();
  const revoke = () => plane.call("POST", "/v1/revocations", { token });
  assert.equal((await timeOf(verifier, token, revoke)).code, "revoked_token");
  const [nextEra, nextSeq] = verifier.since().split(".").map(Number);
  assert.ok(nextEra > era || (nextEra === era && nextSeq > seq));
});

// S03, E02: with a folder, a restarted verifier refuses revoked tokens without a control plane.
test("a restart while the control plane is down forgets no revocation", async () => {
  const folder = await mkdtemp(join(tmpdir(), "offswitch-e2e-"));
  const store = fileStore(folder);
  const first = await follow({ store, pollSeconds: 0.2, follow: "poll" });
  const { access_token: token } = await logIn("frank");
  const { access_token: other } = await logIn("grace");
  const revoke = () => plane.call("POST", "/v1/revocations", { token });
  await timeOf(first, token, revoke);
  // The floor is stored every two seconds.
  const { rounds } = first.status().feed;
  await new Promise((resume) => setTimeout(resume, 2500));
  assert.ok(await until(() => first.status().feed.rounds > rounds + 1));
  first.close();
  const keys = await (await fetch(`${plane.url}/.well-known/jwks.json`)).json();
  // Snapshots are stored once a minute: until there are newer ones the floor decides.
  await plane.kill();
  const second = await createVerifier({
    issuer: plane.url, audience: "api", keys,
    feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey, store },
  });
  open.push(second);
  assert.notEqual(second.verifySync(token).code, "valid");
  assert.notEqual(second.verifySync(other).outcome, "refused");
  await plane.start();
  assert.ok(await until(() => second.verifySync(other).code === "valid", 60));
  assert.equal(second.verifySync(token).code, "revoked_token");
  await rm(folder, { recursive: true, force: true });
});

// R05, S15: last, because it ends every token.
test("the red button reaches a verifier over the stream", async () => {
  const verifier = await follow({ pollSeconds: 3600 });
  assert.ok(await until(() => verifier.status().feed.rounds >= 2));
  const { access_token: token } = await logIn("heidi");
  assert.equal((await verifier.verify(token)).code, "valid");
  const press = () => plane.call("POST", "/v1/red-button", {});
  // It retires the keys as well, and the verifier checks those first.
  assert.match((await timeOf(verifier, token, press)).code, /^revoked_(epoch|key)$/);
});
