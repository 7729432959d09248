// The middleware for Express 5, and for Node's own server.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import express from "express";
import { createVerifier } from "offswitch";
import { offswitch } from "offswitch/express";
import { askAll } from "./ask.mjs";
import { expectAnswers } from "./expect.mjs";
import { prepare } from "./given.mjs";
import { listen, stop } from "./listen.mjs";
import { OWN_STATUS, ROUTES, makeVerifiers, verdictBody, errorBody, undecidedBody } from "./routes.mjs";

function routed(verifiers) {
  const app = express();
  for (const [path, { verifier, policy, decides, fails }] of Object.entries(ROUTES)) {
    const onUndecided = (verdict, request, response) => {
      if (decides === "fails") throw new Error("the own answer failed");
      response.status(OWN_STATUS).json(undecidedBody(verdict, request.path));
    };
    const rules = decides ? { ...policy, onUndecided } : policy;
    app.all(path, offswitch(verifiers[verifier], rules), express.text(), (request, response) => {
      if (fails) throw new Error("the handler failed");
      response.json(verdictBody(request.offswitch, request.body));
    });
  }
  app.use((error, request, response, next) => void response.status(500).json(errorBody(error)));
  return app;
}

async function withServer(app, work) {
  const server = createServer(app);
  try {
    return await work(await listen(server));
  } finally {
    stop(server);
  }
}

expectAnswers("Express", async (given) => {
  const verifiers = await makeVerifiers(createVerifier, given);
  return withServer(routed(verifiers), (send) => askAll(send, given));
});

const control = await prepare();
after(control.close);
const { empty, patient } = await makeVerifiers(createVerifier, control.given);
const serve = (request, response) => response.send("served");
const headers = { authorization: `Bearer ${control.given.tokens.good}` };

test("headers of an earlier middleware are on the refusal in Express", async () => {
  const app = express();
  app.use((request, response, next) => {
    response.set("access-control-allow-origin", "*");
    next();
  });
  app.use(offswitch(patient), serve);
  await withServer(app, async (send) => {
    const response = await send("/");
    assert.equal(response.status, 401);
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
  });
});

// Express's own way to guard a part: a router with its own error handler.
test("an asynchronous handler's error reaches the error handlers of its router, once", async () => {
  const api = express.Router();
  api.use(offswitch(patient));
  api.get("/fails", async () => {
    await null;
    throw new Error("later");
  });
  let calls = 0;
  api.use((error, request, response, next) => {
    calls += 1;
    response.status(500).json({ ...errorBody(error), sub: request.offswitch.claims.sub });
  });
  await withServer(express().use("/api", api), async (send) => {
    const response = await send("/api/fails", { headers });
    assert.equal(response.status, 500);
    assert.deepEqual(await response.json(), { error: "later", sub: "user" });
    assert.equal(calls, 1);
    assert.equal((await send("/elsewhere")).status, 404);
  });
});

// The route may serve responses that need no certainty; the handler sees that the verdict is undecided.
test("onUndecided may let a request through in Express by calling next", async () => {
  const onUndecided = (verdict, request, response, next) => next();
  const app = express().use(offswitch(empty, { onUndecided }), (request, response) => {
    response.json({ outcome: request.offswitch.outcome });
  });
  await withServer(app, async (send) => {
    assert.deepEqual(await (await send("/", { headers })).json(), { outcome: "undecided" });
    assert.equal((await send("/")).status, 401);
  });
});

test("Express handles the error of an asynchronous onUndecided", async () => {
  const onUndecided = async () => {
    await null;
    throw new Error("no answer");
  };
  const app = express().use(offswitch(empty, { onUndecided }), serve);
  app.use((error, request, response, next) => void response.status(500).json(errorBody(error)));
  await withServer(app, async (send) => {
    const response = await send("/", { headers });
    assert.deepEqual([response.status, await response.json()], [500, { error: "no answer" }]);
  });
});

test("a server without any framework can use Express's middleware", async () => {
  const check = offswitch(patient);
  const app = (request, response) =>
    check(request, response, () => response.end(request.offswitch.claims.sub));
  await withServer(app, async (send) => {
    assert.equal((await send("/")).status, 401);
    assert.equal(await (await send("/", { headers })).text(), "user");
  });
});

// Unlike Express, some servers do not catch the errors of a handler.
test("a handler that fails is not run a second time", async () => {
  let runs = 0;
  const next = () => {
    runs += 1;
    throw new Error("the handler failed");
  };
  await assert.rejects(offswitch(patient)({ headers }, {}, next), /the handler failed/);
  assert.equal(runs, 1);
});
