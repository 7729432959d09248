// Issuers with broken or hostile servers, registered at a real control plane: their answers make no token
// valid, cost little, and delay no other issuer's tokens. D115, I03, I16, S10.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { createVerifier } from "offswitch";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { mint, now, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";
import { startWorkerd } from "../support/workerd.mjs";

const SIZE = 5 * 1024 * 1024;
const key = await signingKey("ES256", "hostile");
const set = { keys: [key.jwk] };
const large = JSON.stringify({ ...set, padding: "x".repeat(SIZE) });
const JSON_TYPE = { "content-type": "application/json" };

/** Begins like a key set, and never ends. */
const drips = (_, response) => {
  response.writeHead(200, JSON_TYPE);
  response.write('{"keys":[');
  const timer = setInterval(() => response.write(" "), 50);
  dripping += 1;
  response.on("close", () => {
    clearInterval(timer);
    dripping -= 1;
  });
};
/** How many requests wait for it now. */
let dripping = 0;

/** The answer of each instead of a key set, and the reported problem. */
const CASES = {
  discovery: [(_, response) => json(response, { issuer: "https://another.test", jwks_uri: `${elsewhere.url}/jwks` }), /not a JWK set/],
  large: [(_, response) => void response.writeHead(200, JSON_TYPE).end(large), /too large/],
  bomb: [(_, response) => void response.writeHead(200, { ...JSON_TYPE, "content-encoding": "gzip" }).end(gzipSync(large)), /too large/],
  redirect: [(_, response) => void response.writeHead(302, { location: `${elsewhere.url}/jwks` }).end(), /a redirect, which is not followed/],
  slow: [drips, /timed out|broke off|no answer/],
};
const names = Object.keys(CASES);
const open = [];
const stubs = {};
let cold;
let edge;
let elsewhere;
let plane;
let verifier;

before(async () => {
  plane = await startControlPlane();
  elsewhere = await startStub({ jwks: set });
  for (const name of names) stubs[name] = await startStub({ jwks: CASES[name][0] });
  stubs.namesake = await startStub({ jwks: set });
  stubs.slow.isUp = false; // until Node's verifier is created, which waits once for all sets
  open.push(plane, elsewhere, ...Object.values(stubs));
  for (const [name, { url }] of Object.entries(stubs)) {
    await plane.call("PUT", `/v1/issuers/${name}`, { issuer: url, discovery_uri: `${url}/up/openid-configuration` });
  }
  const { feed_public_keys: publicKeys } = await plane.call("GET", "/v1/keys");
  const options = {
    issuer: plane.url, audience: "api", keys: `${plane.url}/.well-known/jwks.json`,
    issuers: Object.values(stubs).map(({ url }) => ({ issuer: url, audience: "api", keys: `${url}/jwks` })),
    feed: { url: `${plane.url}/v1/feed`, publicKeys, apiKey: plane.apiKey },
  };
  const polled = { ...options, feed: { ...options.feed, follow: "poll", pollSeconds: 0.1 } };
  verifier = await createVerifier({ ...options, onEvent: () => {} });
  stubs.slow.isUp = true;
  const start = () => startWorkerd("tests/issuers/workerd-entry.mjs", { OPTIONS: JSON.stringify(polled) });
  [edge, cold] = [await start(), await start()];
  open.unshift(verifier, edge, cold);
});
after(async () => {
  for (const one of open) await one.close();
});

const at = { Node: async (token) => (await verifier.verify(token)).code, workerd: (token) => askWorker(edge, token) };

async function askWorker({ url }, token) {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
  const { code = "valid" } = await answer.json();
  assert.equal(answer.status, { valid: 200, no_keys: 503, keys_unavailable: 503 }[code] ?? 401, code);
  return code;
}

const ownToken = async () => (await plane.call("POST", "/v1/sessions", { sub: "alice" })).access_token;
const tokenOf = (name) => mint(key, { iss: stubs[name].url, exp: now() + 600 });

// The control plane only stores the addresses for others, and fetches none (docs/guides/identity-provider.md).
test("registering an issuer fetches nothing from it", () => {
  for (const [name, stub] of Object.entries(stubs)) assert.equal(asked(stub, "/up/openid-configuration"), 0, name);
});

for (const [place, ask] of Object.entries(at)) {
  for (const name of names.filter((one) => one !== "slow")) {
    // I16, invariant 6
    test(`${place}: a key set that is ${name} leaves its tokens undecided within the time limit`, async () => {
      const began = Date.now();
      assert.equal(await ask(await tokenOf(name)), "no_keys");
      assert.ok(Date.now() - began < 12_000, `${Date.now() - began} ms`);
      assert.ok(asked(stubs[name], "/jwks") < 12, `${asked(stubs[name], "/jwks")} fetches`);
    });
  }

  // I16: only a token of a hanging issuer waits for it.
  test(`${place}: a revocation takes effect while an issuer answers byte by byte`, async () => {
    const [token, other] = [await ownToken(), await ownToken()];
    const slow = await tokenOf("slow");
    const hangs = async () => {
      if (dripping === 0) await Promise.race([ask(slow), new Promise((resume) => setTimeout(resume, 100))]);
      return dripping > 0;
    };
    assert.ok(await until(hangs));
    const began = Date.now();
    assert.deepEqual([await ask(token), await ask(other)], ["valid", "valid"]);
    assert.ok(Date.now() - began < 3000, `${Date.now() - began} ms`);
    await plane.call("POST", "/v1/revocations", { token });
    assert.ok(await until(async () => (await ask(token)) === "revoked_token", 5));
    assert.equal(await ask(other), "valid");
    assert.equal(await ask(slow), "no_keys");
  });

  // I03: an issuer publishes a key under the name of another issuer's key.
  test(`${place}: an issuer that publishes another one's kid signs no token of it, and affects none`, async () => {
    const own = await ownToken();
    const { kid } = JSON.parse(Buffer.from(own.split(".")[0], "base64url").toString());
    stubs.namesake.jwks = { keys: [{ ...key.jwk, kid }, key.jwk] };
    await verifier.refreshKeys();
    const claims = { iss: plane.url, exp: now() + 600 };
    const forged = [await mint(key, claims), await mint({ ...key, kid }, claims)];
    for (const token of forged) assert.match(await ask(token), /^(wrong_issuer|unknown_key|bad_signature)$/);
    assert.deepEqual([await ask(await tokenOf("namesake")), await ask(own)], ["valid", "valid"]);
  });
}

// E02, I16
test("workerd: the first request of an isolate is not delayed by another issuer", async () => {
  const token = await ownToken();
  const began = Date.now();
  assert.equal(await askWorker(cold, token), "valid");
  assert.ok(Date.now() - began < 3000, `${Date.now() - began} ms`);
});

test("no address from an answer was fetched, and each problem is named", () => {
  assert.deepEqual(elsewhere.requests, []);
  const problems = Object.fromEntries(verifier.status().keys.map(({ issuer, problem }) => [issuer, problem]));
  for (const name of names) assert.match(problems[stubs[name].url], CASES[name][1], name);
});

// E02
test("an issuer that recovers is accepted again without help", async () => {
  const [name] = names;
  stubs[name].jwks = set;
  const token = await tokenOf(name);
  for (const [place, ask] of Object.entries(at)) {
    assert.ok(await until(async () => (await ask(token)) === "valid", 30), place);
  }
});
