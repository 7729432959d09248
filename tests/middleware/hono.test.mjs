// The middleware for Hono, on Node's server and as a bare Fetch handler.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/hono";
import { askAll } from "./ask.mjs";
import { expectAnswers } from "./expect.mjs";
import { prepare } from "./given.mjs";
import { honoRoutes } from "./hono-routes.mjs";
import { listen, stop } from "./listen.mjs";
import { makeVerifiers } from "./routes.mjs";

expectAnswers("Hono on Node", async (given) => {
  const verifiers = await makeVerifiers(createVerifier, given);
  const { fetch } = honoRoutes(Hono, offswitch, (name) => verifiers[name]);
  const server = serve({ fetch, hostname: "127.0.0.1", port: 0 });
  try {
    return await askAll(await listen(server), given);
  } finally {
    stop(server);
  }
});

expectAnswers("Hono's fetch", async (given) => {
  let verifiers;
  // No setting is known before the first request, which brings them.
  const app = honoRoutes(Hono, offswitch, (name) => async (c) => {
    verifiers ??= await makeVerifiers(createVerifier, c.env.given);
    return verifiers[name];
  });
  const send = async (path, init) =>
    app.fetch(new Request(`http://api.test${path}`, init), { given });
  return askAll(send, given);
});

const control = await prepare();
after(control.close);
const { empty, patient } = await makeVerifiers(createVerifier, control.given);
const authorization = `Bearer ${control.given.tokens.good}`;

// A refusal also has the headers of an earlier middleware, such as a request id.
test("headers of an earlier middleware are on the refusal in Hono", async () => {
  const app = new Hono();
  app.use(async (c, next) => {
    c.header("x-request-id", "7");
    await next();
    c.header("x-after", "1");
  });
  app.get("/", offswitch(patient), (c) => c.text("served"));
  const response = await app.request("/");
  assert.deepEqual([response.status, response.headers.get("x-after")], [401, "1"]);
  assert.equal(response.headers.get("x-request-id"), "7");
});

test("Hono handles the error of a function without a verifier, and serves no request", async () => {
  const app = new Hono();
  app.onError((error, c) => c.text(error.message, 500));
  app.get("/", offswitch(() => { throw new Error("no settings"); }), (c) => c.text("served"));
  const response = await app.request("/", { headers: { authorization } });
  assert.deepEqual([response.status, await response.text()], [500, "no settings"]);
});

// Hono's sub-applications and method chains accept it like any other middleware.
test("a group of routes in Hono is guarded by one line", async () => {
  const api = new Hono().use(offswitch(patient));
  api.get("/users", (c) => c.text(c.get("offswitch").claims.sub));
  const app = new Hono().get("/", (c) => c.text("open")).route("/api", api);
  assert.equal(await (await app.request("/")).text(), "open");
  assert.equal((await app.request("/api/users")).status, 401);
  assert.equal((await app.request("/api/none")).status, 401);
  const response = await app.request("/api/users", { headers: { authorization } });
  assert.equal(await response.text(), "user");
});

test("an onUndecided without an answer leads to 503 in Hono", async () => {
  for (const onUndecided of [() => {}, async () => null]) {
    const app = new Hono().use(offswitch(empty, { onUndecided }));
    const response = await app.request("/", { headers: { authorization } });
    assert.deepEqual([response.status, (await response.json()).code], [503, "no_snapshot"]);
  }
});

test("an onUndecided may leave its answer in Hono's context", async () => {
  const app = new Hono();
  const onUndecided = (verdict, request, c) => { c.res = c.text("later", 418); };
  app.get("/", offswitch(empty, { onUndecided }), (c) => c.text("served"));
  const response = await app.request("/", { headers: { authorization } });
  assert.deepEqual([response.status, await response.text()], [418, "later"]);
});
