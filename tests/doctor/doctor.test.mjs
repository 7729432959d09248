// `offswitch doctor --sacrifice` with the real control plane and the edge worker in real workerd:
// the token passes, is revoked, and is refused. O06.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { buildBinary, startControlPlane } from "../support/control-plane.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const program = buildBinary("offswitch");
const plane = await startControlPlane();
const folder = await mkdtemp(join(tmpdir(), "offswitch-doctor-"));
const upstream = createServer((_, response) => response.end("me"));
await new Promise((listening) => upstream.listen(0, "127.0.0.1", listening));
const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
const edge = await startWorkerd("verifier-wasm/js/worker/worker.js", {
  OFFSWITCH_AUDIENCE: "api",
  OFFSWITCH_FEED_API_KEY: plane.apiKey,
  OFFSWITCH_FEED_PUBLIC_KEYS: publicKeys.join(","),
  OFFSWITCH_FEED_URL: `${plane.url}/v1/feed`,
  OFFSWITCH_ISSUER: plane.url,
  OFFSWITCH_LONG_POLL_SECONDS: "25",
  UPSTREAM: `http://127.0.0.1:${upstream.address().port}`,
});
after(async () => {
  await edge.close();
  await plane.close();
  upstream.close();
  await rm(folder, { recursive: true, force: true });
});

async function sacrifice(token) {
  const file = join(folder, "token");
  await writeFile(file, token, { mode: 0o600 });
  const asked = ["--url", plane.url, "--token-file", file, "--sacrifice", "--edge", `${edge.url}/me`, "--json"];
  const env = { ...process.env, OFFSWITCH_API_KEY: plane.apiKey };
  const child = spawn(program, ["doctor", ...asked], { env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resume) => child.once("close", resume));
  let text = "";
  for await (const part of child.stdout) text += part;
  const { checks, result } = JSON.parse(text);
  return { code: await ended, checks: new Map(checks.map((one) => [one.check, one])), result, text };
}

test("the sacrificed token is refused at the edge, and the report says how soon", async (context) => {
  const { access_token: token } = await plane.call("POST", "/v1/sessions", { sub: "alice" });
  const { checks, code, result, text } = await sacrifice(token);
  assert.deepEqual([code, result], [0, "ok"], text);
  for (const check of ["token", "edge_before", "revocation", "edge_refusal"]) {
    assert.equal(checks.get(check).result, "ok", text);
  }
  const { milliseconds } = checks.get("edge_refusal");
  assert.ok(milliseconds < 10_000, text);
  assert.ok(!text.includes(token) && !text.includes(plane.apiKey), "neither token nor key is shown");
  context.diagnostic(`refused at the edge ${milliseconds} ms after the revocation was sent`);
  const answer = await fetch(`${edge.url}/me`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual([answer.status, (await answer.json()).code], [401, "revoked_token"]);
  const again = await sacrifice(token);
  assert.deepEqual([again.code, again.checks.get("token").result], [1, "failed"], again.text);
  assert.match(again.checks.get("token").detail, /revoked_token/);
});
