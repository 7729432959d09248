// The hook for Fastify 5.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import Fastify from "fastify";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/fastify";
import { askAll } from "./ask.mjs";
import { expectAnswers } from "./expect.mjs";
import { prepare } from "./given.mjs";
import { listen } from "./listen.mjs";
import { OWN_STATUS, ROUTES, makeVerifiers, verdictBody, errorBody, undecidedBody } from "./routes.mjs";

function routed(verifiers) {
  const app = Fastify({ forceCloseConnections: true });
  app.setErrorHandler((error, request, reply) => reply.code(500).send(errorBody(error)));
  for (const [url, { verifier, policy, decides, fails }] of Object.entries(ROUTES)) {
    const onUndecided = (verdict, request, reply) => {
      if (decides === "fails") throw new Error("the own answer failed");
      return reply.code(OWN_STATUS).send(undecidedBody(verdict, request.url));
    };
    const onRequest = offswitch(verifiers[verifier], decides ? { ...policy, onUndecided } : policy);
    const handler = async (request) => {
      if (fails) throw new Error("the handler failed");
      return verdictBody(request.offswitch, request.body);
    };
    app.route({ method: ["GET", "POST"], url, onRequest, handler });
  }
  return app;
}

expectAnswers("Fastify", async (given) => {
  const app = routed(await makeVerifiers(createVerifier, given));
  await app.listen({ host: "127.0.0.1", port: 0 });
  try {
    return await askAll(await listen(app.server), given);
  } finally {
    await app.close();
  }
});

const control = await prepare();
after(control.close);
const { empty, patient } = await makeVerifiers(createVerifier, control.given);
const headers = { authorization: `Bearer ${control.given.tokens.good}` };

// Fastify's encapsulation: a hook of one context guards that context and those inside it.
test("a hook guards the routes of its own context in Fastify", async () => {
  const app = Fastify();
  app.get("/open", async () => "open");
  app.register(async (api) => {
    api.addHook("onRequest", offswitch(patient));
    api.get("/guarded", async (request) => request.offswitch.claims.sub);
  });
  assert.equal((await app.inject("/open")).body, "open");
  assert.equal((await app.inject("/guarded")).statusCode, 401);
  assert.equal((await app.inject({ url: "/guarded", headers })).body, "user");
});

test("a refused request reaches neither later hooks nor the parser in Fastify", async () => {
  const app = Fastify();
  const reached = [];
  app.addHook("onRequest", offswitch(patient));
  for (const name of ["onRequest", "preParsing", "preValidation", "preHandler"]) {
    app.addHook(name, async () => void reached.push(name));
  }
  app.addHook("onResponse", async () => void reached.push("onResponse"));
  app.post("/", async () => void reached.push("handler"));
  const type = { "content-type": "application/json" };
  const sent = { method: "POST", url: "/", payload: "{not JSON", headers: type };
  assert.equal((await app.inject(sent)).statusCode, 401);
  assert.deepEqual(reached, ["onResponse"]);
});

test("headers of an earlier hook are on the refusal in Fastify", async () => {
  const app = Fastify();
  app.addHook("onRequest", async (_, reply) => {
    reply.header("access-control-allow-origin", "*");
  });
  app.addHook("onRequest", offswitch(patient));
  app.get("/", async () => "served");
  const response = await app.inject("/");
  assert.equal(response.statusCode, 401);
  assert.equal(response.headers["access-control-allow-origin"], "*");
});

test("onSend hooks see the final refusal", async () => {
  const app = Fastify();
  let seen;
  app.addHook("onRequest", offswitch(patient));
  app.addHook("onSend", async (request, reply, payload) => {
    seen = JSON.parse(payload).code;
    return payload;
  });
  app.get("/", async () => "served");
  await app.inject("/");
  assert.equal(seen, "missing_token");
});

// A Fastify handler answers with its return value. An onUndecided that does the same must not let the request
// through.
test("what onUndecided returns is the answer in Fastify", async () => {
  const app = Fastify();
  let served = 0;
  const onUndecided = async (verdict, request, reply) => {
    reply.code(OWN_STATUS);
    return { code: verdict.code };
  };
  app.get("/", { onRequest: offswitch(empty, { onUndecided }) }, async () => (served += 1));
  const response = await app.inject({ url: "/", headers });
  assert.equal(served, 0, "an undecided token was served");
  assert.deepEqual([response.statusCode, response.json()], [OWN_STATUS, { code: "no_snapshot" }]);
});

test("an onUndecided without an answer lets no request through in Fastify", async () => {
  const app = Fastify();
  const seen = [];
  const onUndecided = (verdict) => void seen.push(verdict.code);
  app.get("/", { onRequest: offswitch(empty, { onUndecided }) }, async () => "served");
  const response = await app.inject({ url: "/", headers });
  assert.deepEqual(seen, ["no_snapshot"]);
  assert.equal(response.statusCode, 503);
});

test("a request object of Fastify may be decorated beforehand", async () => {
  const app = Fastify();
  app.decorateRequest("offswitch", null);
  app.get("/", { preHandler: offswitch(patient) }, async (request) => request.offswitch.code);
  assert.equal((await app.inject({ url: "/", headers })).body, "valid");
});
