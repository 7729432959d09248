const { createTestIssuer } = require("offswitch/testing");
const { makeApp } = require("./app.js");

let auth;
let server;

beforeEach(async () => {
  auth = await createTestIssuer();
  server = makeApp(await auth.createVerifier()).listen(0, "127.0.0.1");
});
afterEach(() => server.close());

const ask = (token) => fetch(`http://127.0.0.1:${server.address().port}/api/me`, {
  headers: { authorization: `Bearer ${token}` },
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
