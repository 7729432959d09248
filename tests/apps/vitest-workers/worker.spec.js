import { createExecutionContext, env, waitOnExecutionContext } from "cloudflare:test";
import { createTestIssuer } from "offswitch/testing";
import { beforeEach, expect, test } from "vitest";
import { makeWorker } from "./worker.js";

let auth;
let worker;

beforeEach(async () => {
  auth = await createTestIssuer();
  worker = makeWorker(await auth.createVerifier());
});

async function ask(token) {
  const context = createExecutionContext();
  const headers = { authorization: `Bearer ${token}` };
  const response = await worker.fetch(new Request("https://api.test/me", { headers }), env, context);
  await waitOnExecutionContext(context);
  return response;
}

test("it runs in workerd", () => {
  expect(navigator.userAgent).toBe("Cloudflare-Workers");
});

test("a user who was revoked is refused", async () => {
  const token = await auth.token({ sub: "alice", scope: "read" });
  expect(await (await ask(token)).json()).toEqual({ sub: "alice" });
  await auth.revoke({ sub: "alice" });
  const refused = await ask(token);
  expect([refused.status, (await refused.json()).code]).toEqual([401, "revoked_user"]);
});

test("a token without the scope is not enough", async () => {
  expect((await ask(await auth.token())).status).toBe(403);
});
