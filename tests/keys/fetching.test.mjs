// How a key set is fetched: with which headers, and only from the configured address. D115.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier } from "offswitch";
import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const other = await signingKey("EdDSA", "other");
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const good = await mint(key);
const stub = await startStub({ snapshot: base });
const elsewhere = await startStub({ jwks: { keys: [key.jwk] } });
after(async () => {
  await stub.close();
  await elsewhere.close();
});

const options = (keys, more = {}) => ({
  issuer: ISSUER, audience: AUDIENCE, keys, ...more,
  feed: { url: `${stub.url}/feed`, id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
});

// D115: the API server of Kubernetes requires a token for its keys.
test("a key set that requires headers is fetched with them", async () => {
  const headers = { authorization: "Bearer service-account", "x-more": "1" };
  stub.jwks = (request, response) => {
    if (request.headers.authorization !== headers.authorization) return void response.writeHead(401).end();
    json(response, { keys: [key.jwk] });
  };
  const verifier = new Verifier(options({ url: new URL(`${stub.url}/jwks`), headers }));
  await verifier.refresh();
  assert.equal((await verifier.verify(good)).code, "valid");
  const sent = stub.requests.findLast(({ path }) => path === "/jwks").headers;
  assert.deepEqual([sent.authorization, sent["x-more"]], [headers.authorization, "1"]);
  assert.equal(stub.requests.findLast(({ path }) => path === "/feed").headers.authorization, undefined);
  assert.doesNotMatch(JSON.stringify(verifier.status()), /service-account/);
  const without = new Verifier(options({ url: `${stub.url}/jwks` }));
  await without.refresh();
  assert.match((await without.verify(good)).detail, /status 401/);
});

for (const status of [301, 302, 303, 307, 308]) {
  // D115: a redirect gets neither the headers nor any trust, even to the same host.
  test(`a redirect with ${status} is not followed, and is reported as the problem`, async () => {
    for (const location of [`${elsewhere.url}/jwks`, "/up/jwks"]) {
      stub.jwks = (_, response) => void response.writeHead(status, { location }).end();
      const problems = [];
      const onEvent = ({ error, detail }) => error && problems.push([error, detail]);
      const headers = { authorization: "Bearer secret" };
      const verifier = new Verifier(options({ url: `${stub.url}/jwks`, headers }, { onEvent }));
      assert.equal(await verifier.refreshKeys(), false);
      assert.equal(problems[0][0], "keys_unreachable");
      assert.match(problems[0][1], /^a redirect, which is not followed: configure the address/);
      assert.equal((await verifier.verify(good)).code, "no_keys");
    }
    assert.deepEqual([asked(elsewhere, "/jwks"), asked(stub, "/up/jwks")], [0, 0]);
  });
}

// D115, D38: each problem is named, with what was expected.
test("a wrong address of keys is reported when the verifier is created", () => {
  const url = "https://issuer.test/jwks";
  const cases = [
    [{ url: "ftp://x" }, /issuers\[0\]\.keys\.url must be an http\(s\) URL/],
    [{ url: 5 }, /keys\.url must be/],
    [{ url, headers: "authorization: x" }, /keys\.headers must be an object of header names/],
    [{ url, headers: { authorization: 5 } }, /keys\.headers must be/],
    [{ url, headers: { "no name": "x" } }, /keys\.headers must be/],
    [{ url, headers: { authorization: "a\nb" } }, /keys\.headers must be/],
    [{ url, headers: null }, /keys\.headers must be/],
    [{ url, header: {} }, /keys\.header is unknown/],
  ];
  for (const [keys, message] of cases) {
    assert.throws(() => new Verifier(options(keys)), (error) => error.code === "invalid_options" && message.test(error.message), JSON.stringify(keys));
  }
  new Verifier(options({ url }));
  new Verifier(options({ url, headers: {} }));
  new Verifier(options({ url, keys: [key.jwk] })); // a set with a member of that name
});

// D15, V17: an issuer that publishes no key has withdrawn all its keys.
for (const [name, set] of Object.entries({
  "an empty key set": { keys: [] },
  "a key set of unusable keys alone": { keys: [{ kty: "RSA", kid: "rsa", alg: "none" }, { ...key.jwk, use: "enc" }] },
})) {
  test(`${name} withdraws the previous keys`, async () => {
    stub.jwks = { keys: [key.jwk] };
    const problems = [];
    const onEvent = ({ error, detail }) => error && problems.push([error, detail]);
    const verifier = new Verifier(options(`${stub.url}/jwks`, { onEvent }));
    await verifier.refresh();
    assert.equal((await verifier.verify(good)).code, "valid");
    stub.jwks = set;
    assert.equal(await verifier.refreshKeys(), true);
    for (const verdict of [verifier.verifySync(good), await verifier.verify(good)]) {
      assert.deepEqual([verdict.outcome, verdict.code], ["refused", "unknown_key"]);
    }
    const [{ problem, ready }] = verifier.status().keys;
    assert.ok(problem !== null && ready);
    // One report for each fetch.
    assert.ok(problems.length > 0);
    for (const one of problems) assert.deepEqual(one, ["keys_unreachable", problem]);
    stub.jwks = { keys: [key.jwk] };
    await verifier.refreshKeys();
    assert.equal(verifier.verifySync(good).code, "valid");
    assert.equal(verifier.status().keys[0].problem, null);
  });
}

// S10: an answer that is not a key set does not change the keys.
test("an answer that is not a key set leaves the keys as they were", async () => {
  stub.jwks = { keys: [key.jwk] };
  const verifier = new Verifier(options(`${stub.url}/jwks`));
  await verifier.refresh();
  for (const broken of [[], {}, { error: "try again later" }, { keys: {} }, "x"]) {
    stub.jwks = broken;
    await verifier.refreshKeys();
    assert.equal(verifier.verifySync(good).code, "valid", JSON.stringify(broken));
    const [{ problem }] = verifier.status().keys;
    assert.equal(typeof problem, "string");
    await new Promise((resume) => setTimeout(resume, 100));
  }
});

test("unusable keys in the options are an error of the options", () => {
  for (const keys of [{ keys: [] }, { keys: [{ kty: "oct", alg: "none" }] }]) {
    assert.throws(() => new Verifier(options(keys)), { code: "invalid_options" });
  }
});
