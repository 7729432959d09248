// The edge worker with two feeds, in real workerd.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { readEnv } from "../../verifier-wasm/js/worker/config.js";
import { until } from "../support/feed.mjs";
import { AUDIENCE, ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const OTHER = "https://other.test";
const [key, otherKey] = [await signingKey("EdDSA", "one"), await signingKey("ES256", "two")];
const { publicKey, snapshots: [base] } = sign([{ to: 1 }]);
const of = { feed: OTHER, issuer: OTHER, seed: 9 };
const { publicKey: otherPublicKey, snapshots: [otherBase, otherDelta] } = sign([
  { ...of, to: 1 }, { ...of, from: 1, to: 2, tokens: ["token"] },
]);
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
const other = await startStub({ jwks: { keys: [otherKey.jwk] }, snapshot: otherBase });
const edge = await startEdge(stub, publicKey, {
  OFFSWITCH_2_ISSUER: OTHER,
  OFFSWITCH_2_JWKS_URL: `${other.url}/jwks`,
  OFFSWITCH_2_FEED_URL: `${other.url}/feed`,
  OFFSWITCH_2_FEED_PUBLIC_KEYS: otherPublicKey,
});
after(async () => {
  for (const one of [edge, stub, other]) await one.close();
});

const good = await mint(key, { exp: now() + 3600 });
const goodOther = await mint(otherKey, { iss: OTHER, exp: now() + 3600 });
const ask = async (token) => (await fetch(`${edge.url}/`, { headers: { authorization: `Bearer ${token}` } })).status;

// P07: in a cold isolate one cell is away, and the other decides.
test("the edge worker follows two feeds, each for its own issuers", async () => {
  other.isUp = false;
  assert.deepEqual([await ask(goodOther), await ask(good)], [503, 200]);
  other.isUp = true;
  assert.ok(await until(async () => (await ask(goodOther)) === 200, 30));
  other.snapshot = otherDelta;
  assert.ok(await until(async () => (await ask(goodOther)) === 401, 15));
  assert.equal(await ask(good), 200);
});

// X16: each problem has the name of its own setting.
test("the settings of a second feed have its number, and share the rest", () => {
  const env = {
    OFFSWITCH_ISSUER: ISSUER, OFFSWITCH_AUDIENCE: AUDIENCE, OFFSWITCH_FEED_URL: "https://a/feed",
    OFFSWITCH_FEED_PUBLIC_KEYS: publicKey, OFFSWITCH_FEED_API_KEY: "secret", UPSTREAM: "https://up/",
    OFFSWITCH_2_ISSUER: OTHER, OFFSWITCH_2_FEED_HEAD: "https://b/head", OFFSWITCH_2_FEED_PUBLIC_KEYS: otherPublicKey,
    OFFSWITCH_MAX_STALENESS_SECONDS: "30", OFFSWITCH_2_MAX_STALENESS_SECONDS: "20",
  };
  const { options, others: [second] } = readEnv(env);
  assert.deepEqual([options.issuer, second.issuer, second.audience], [ISSUER, OTHER, [AUDIENCE]]);
  assert.deepEqual([options.feed.maxStaleness, second.feed.maxStaleness], [30, 20]);
  assert.deepEqual([second.feed.head, second.feed.url, second.feed.apiKey], ["https://b/head", undefined, undefined]);
  assert.equal(second.feed.id, OTHER);
  assert.equal(second.keys, `${OTHER}/.well-known/jwks.json`);
  const { problems } = readEnv({ ...env, OFFSWITCH_2_FEED_HEAD: "x", OFFSWITCH_2_FEED_PUBLIC_KEYS: "" });
  assert.deepEqual(problems, [
    "OFFSWITCH_2_FEED_HEAD must be an http(s) URL", "OFFSWITCH_2_FEED_PUBLIC_KEYS is missing",
  ]);
});
