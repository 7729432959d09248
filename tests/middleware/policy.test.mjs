// A route's policy is checked when the route is made, in every framework.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Verifier } from "offswitch";
import { offswitch as express } from "offswitch/express";
import { offswitch as fastify } from "offswitch/fastify";
import { guard } from "offswitch/guard";
import { offswitch as hono } from "offswitch/hono";
import { prepare } from "./given.mjs";
import { makeVerifiers } from "./routes.mjs";

const control = await prepare();
await control.close();
const { patient } = await makeVerifiers((options) => new Verifier(options), control.given);
const handler = () => new Response("served");
const MAKERS = {
  guard: (policy, verifier = patient) => guard(verifier, handler, policy),
  Hono: (policy, verifier = patient) => hono(verifier, policy),
  Express: (policy, verifier = patient) => express(verifier, policy),
  Fastify: (policy, verifier = patient) => fastify(verifier, policy),
};
const isOptionsError = (error) => error instanceof TypeError && error.code === "invalid_options";

const each = (name, values) => values.map((value) => ({ [name]: value }));
const WRONG = {
  "a value that is no policy": [null, "read", 5, true, ["read"], () => {}],
  "a scopes value that is no list of names":
    each("scopes", ["read", { 0: "read" }, [1], [null], [""], ["read write"], ['a"b'], ["é"]]),
  "a jitter that is no duration":
    each("retryJitterSeconds", [-1, 1.5, NaN, Infinity, "10", null]),
  "a staleness that is no duration":
    each("maxStaleness", [0, -1, 1.5, NaN, Infinity, 86_401, "60", null]),
  "an onStale that is unknown": each("onStale", ["maybe", "", true, null]),
  "an onUndecided that cannot be called": each("onUndecided", ["allow", 503, null, {}]),
  "an unknown name": [{ scope: ["read"] }, { maxStale: 5 }, { onstale: "deny" }],
};

for (const [framework, make] of Object.entries(MAKERS)) {
  for (const [name, policies] of Object.entries(WRONG)) {
    test(`${name} is a TypeError when a route is made for ${framework}`, () => {
      for (const policy of policies) {
        assert.throws(() => make(policy), isOptionsError, JSON.stringify(policy));
      }
    });
  }

  test(`optional members may be left out for ${framework}`, () => {
    const nothing = { scopes: [], onUndecided: undefined, maxStaleness: undefined };
    for (const policy of [undefined, {}, nothing]) make(policy);
  });

  // The most likely mistake: `offswitch(createVerifier(options))` without await.
  test(`a value that is no verifier is a TypeError when a route is made for ${framework}`, () => {
    for (const verifier of [null, {}, "verifier", Promise.resolve(patient)]) {
      assert.throws(() => make({}, verifier), isOptionsError, String(verifier));
    }
  });
}
