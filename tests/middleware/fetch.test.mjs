// guard alone: a function from Request to Response, with no server around it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { guard } from "offswitch/guard";
import { asked } from "../support/stub.mjs";
import { askAll } from "./ask.mjs";
import { expectAnswers } from "./expect.mjs";
import { errorResponse, guardedRoutes } from "./fetch-routes.mjs";
import { prepare } from "./given.mjs";
import { makeVerifiers } from "./routes.mjs";

expectAnswers("guard", async (given) => {
  const verifiers = await makeVerifiers(createVerifier, given);
  const handle = guardedRoutes(guard, (name) => verifiers[name]);
  return askAll(async (path, init) => {
    const response = await handle(new Request(`http://api.test${path}`, init)).catch(errorResponse);
    // No handler removes the body itself: every server does.
    return init.method === "HEAD" ? new Response(null, response) : response;
  }, given);
});

// S14: a control plane that has lost its store still answers, with an old state. All its verifiers notice that
// at the same time, and must not send it a request for each of theirs.
test("a stale feed that answers is not polled again for every request", async (context) => {
  const { close, given, plane } = await prepare();
  context.after(close);
  const { impatient } = await makeVerifiers((options) => new Verifier(options), given);
  const handle = guard(impatient, () => new Response("served"));
  const headers = { authorization: `Bearer ${given.tokens.good}` };
  const began = Date.now();
  for (let count = 0; count < 100; count += 1) {
    assert.equal((await handle(new Request("http://api.test/", { headers }))).status, 503);
  }
  const most = 5 + (Date.now() - began) / 100;
  assert.ok(asked(plane, "/feed") <= most, `${asked(plane, "/feed")} times for 100 requests`);
});

test("an onUndecided without an answer leads to 503 behind guard", async (context) => {
  const { close, given } = await prepare();
  context.after(close);
  const { empty } = await makeVerifiers((options) => new Verifier(options), given);
  const headers = { authorization: `Bearer ${given.tokens.good}` };
  for (const onUndecided of [() => {}, async () => null]) {
    const handle = guard(empty, () => new Response("served"), { onUndecided });
    const response = await handle(new Request("http://api.test/", { headers }));
    assert.deepEqual([response.status, (await response.json()).code], [503, "no_snapshot"]);
  }
});
