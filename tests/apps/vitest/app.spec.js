import { createTestIssuer } from "offswitch/testing";
import { beforeEach, expect, test } from "vitest";
import { makeApp } from "./app.js";

let app;
let auth;

beforeEach(async () => {
  auth = await createTestIssuer();
  app = makeApp(await auth.createVerifier());
});

const ask = (token) => app.request("/api/me", { headers: { authorization: `Bearer ${token}` } });

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
