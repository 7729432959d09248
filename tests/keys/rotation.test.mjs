// Tokens of an unknown key, many at the same time, while the key set is slow, down or wrong. I16, D102. The
// same in workerd: ../edge/rotation.test.mjs.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier } from "offswitch";
import { guard } from "offswitch/guard";
import { AUDIENCE, ISSUER, mint, sign, signingKey } from "../support/fixture.mjs";
import { asked, json, startStub } from "../support/stub.mjs";

const old = await signingKey("EdDSA", "old");
const next = await signingKey("ES256", "next");
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);
const goodOld = await mint(old);
const goodNext = await mint(next);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

/** A verifier that has the old key, and whose issuer has published the next one since. */
async function start(more = {}) {
  const stub = await startStub({ jwks: { keys: [old.jwk] }, snapshot: base });
  const verifier = new Verifier({
    issuer: ISSUER, audience: AUDIENCE, keys: `${stub.url}/jwks`, ...more,
    feed: { url: `${stub.url}/feed`, id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
  });
  await verifier.refresh();
  open.push(stub, verifier);
  stub.jwks = { keys: [old.jwk, next.jwk] };
  const before = asked(stub, "/jwks");
  return { stub, verifier, fetches: () => asked(stub, "/jwks") - before };
}

const sleep = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));
const slow = (set, milliseconds) => async (_, response) => {
  await sleep(milliseconds);
  json(response, set);
};

/** Sends 100 requests to a guarded route at the same time; returns how often each status came. */
async function crowd(verifier, token, size = 100) {
  const handle = guard(verifier, () => new Response("served"));
  const headers = { authorization: `Bearer ${token}` };
  const answers = await Promise.all(Array.from({ length: size }, () => handle(new Request("http://api.test/", { headers }))));
  const counts = {};
  for (const { status, headers: answered } of answers) {
    counts[status] = (counts[status] ?? 0) + 1;
    if (status === 503) assert.match(answered.get("retry-after"), /^[1-9]/);
  }
  return { counts, codes: new Set(await Promise.all(answers.map(async (one) => (one.status === 200 ? "served" : (await one.json()).code)))) };
}

// I16, D102
test("100 requests with a new key wait for one fetch, however slow it is", async () => {
  const { stub, verifier, fetches } = await start();
  await sleep(2100); // the cooldown of the first fetch
  stub.jwks = slow({ keys: [old.jwk, next.jwk] }, 1500);
  assert.deepEqual((await crowd(verifier, goodNext)).counts, { 200: 100 });
  assert.equal(fetches(), 1);
});

// I16: the set was fetched a moment before the rotation, so the next fetch has to wait.
test("100 requests with a key that is newer than the last fetch wait for the next one", async () => {
  const { verifier, fetches } = await start();
  assert.deepEqual((await crowd(verifier, goodNext)).counts, { 200: 100 });
  assert.equal(fetches(), 1);
});

// I16: a fetch that started before the key was published does not prove that the key is unknown.
test("a set that is older than the token does not decide about its key", async () => {
  const { stub, verifier, fetches } = await start();
  await sleep(2100);
  stub.jwks = slow({ keys: [old.jwk] }, 1000);
  const early = crowd(verifier, await mint(await signingKey("EdDSA", "never")), 1);
  await sleep(300);
  stub.jwks = { keys: [old.jwk, next.jwk] };
  assert.deepEqual((await crowd(verifier, goodNext)).counts, { 200: 100 });
  assert.deepEqual([...(await early).codes], ["unknown_key"]);
  assert.equal(fetches(), 2);
});

const FAILURES = {
  "is down": (_, response) => void response.destroy(),
  "answers 500": (_, response) => void response.writeHead(500).end(),
  "answers what is no JSON": (_, response) => void response.end("<html>"),
  "answers JSON that is no key set": (_, response) => json(response, { keys: ["x"], message: "down" }),
  "redirects": (_, response) => void response.writeHead(302, { location: "/elsewhere" }).end(),
  "answers too much": (_, response) => void response.end("x".repeat(300_000)),
};
for (const [name, answer] of Object.entries(FAILURES)) {
  // I16, E01, invariant 6
  test(`while the key set ${name}, a new key is undecided and known keys stay`, async () => {
    const { stub, verifier, fetches } = await start();
    stub.jwks = answer;
    const { counts, codes } = await crowd(verifier, goodNext);
    assert.deepEqual([counts, [...codes]], [{ 503: 100 }, ["keys_unavailable"]]);
    assert.ok(fetches() <= 3, `${fetches()} fetches`);
    const { outcome, detail } = verifier.verifySync(goodNext);
    assert.equal(outcome, "undecided");
    assert.match(detail, /fetching them failed: ./);
    assert.equal(verifier.verifySync(goodOld).code, "valid");
    stub.jwks = { keys: [old.jwk, next.jwk] };
    const end = Date.now() + 10_000;
    while ((await verifier.verify(goodNext)).code !== "valid") assert.ok(Date.now() < end, "it recovers alone");
  });
}

test("a key set that never answers leaves a new key undecided within the given time", async () => {
  const { stub, verifier } = await start();
  stub.jwks = () => {};
  const began = Date.now();
  const verdicts = await Promise.all(Array.from({ length: 100 }, () => verifier.verify(goodNext, { timeoutSeconds: 3 })));
  assert.deepEqual([...new Set(verdicts.map(({ code }) => code))], ["keys_unavailable"]);
  assert.ok(Date.now() - began < 6000);
});

// I16: a red button of our own: the old keys leave the set while every client still sends their tokens.
test("tokens of a key that two sets lack are refused without waiting", async () => {
  const { stub, verifier, fetches } = await start();
  stub.jwks = { keys: [next.jwk] };
  assert.deepEqual((await crowd(verifier, goodNext)).counts, { 200: 100 });
  let began;
  for (const what of ["after the next fetch", "without another"]) {
    began = Date.now();
    const { counts, codes } = await crowd(verifier, goodOld);
    assert.deepEqual([counts, [...codes], fetches()], [{ 401: 100 }, ["unknown_key"], 2], what);
  }
  assert.ok(Date.now() - began < 1000, `${Date.now() - began} ms`);
});

// I16: a copy of the issuer that is behind, or has lost a key, does not decide about the key.
test("a key that one set lacks and the next one has again is found", async () => {
  const { stub, verifier } = await start();
  stub.jwks = { keys: [next.jwk] };
  await verifier.refreshKeys();
  stub.jwks = { keys: [old.jwk, next.jwk] };
  assert.equal((await verifier.verify(goodOld)).code, "valid");
});

test("keys in the options are never extended, however many others tokens name", async () => {
  const { verifier, fetches } = await start({ keys: { keys: [old.jwk] } });
  const verdicts = await Promise.all(Array.from({ length: 3000 }, () => verifier.verify(goodNext)));
  assert.deepEqual([...new Set(verdicts.map(({ code }) => code))], ["unknown_key"]);
  assert.equal(fetches(), 0);
});

// A token that names another issuer cannot belong to any of these keys: there is no fetch.
test("a token of a foreign issuer causes no fetch", async () => {
  const { verifier, fetches } = await start();
  const foreign = await mint(await signingKey("EdDSA", "foreign"), { iss: "https://elsewhere.test" });
  assert.equal((await verifier.verify(foreign)).code, "unknown_key");
  assert.equal(fetches(), 0);
});

// I16: oidc-provider-mock of PyPI, for example, signs tokens without `kid` and has a new key after a restart.
test("100 requests with tokens without kid find the key that replaced the only one", async () => {
  const [was, is] = [await signingKey("EdDSA", "was"), await signingKey("EdDSA", "is")];
  const { stub, verifier, fetches } = await start();
  const none = { kid: undefined };
  stub.jwks = { keys: [was.jwk] };
  await verifier.refreshKeys();
  const before = await mint(was, {}, none);
  assert.equal((await verifier.verify(before)).code, "valid");
  stub.jwks = (_, response) => void response.writeHead(500).end();
  const after = await mint(is, {}, none);
  assert.deepEqual([...(await crowd(verifier, after)).codes], ["keys_unavailable"]);
  assert.equal((await verifier.verify(before)).code, "valid");
  stub.jwks = { keys: [is.jwk] };
  const end = Date.now() + 10_000;
  while ((await verifier.verify(after)).code !== "valid") assert.ok(Date.now() < end, "it recovers alone");
  const held = fetches();
  assert.deepEqual((await crowd(verifier, before)).counts, { 401: 100 });
  assert.deepEqual([...(await crowd(verifier, before)).codes], ["bad_signature"]);
  assert.ok(fetches() - held <= 2, `${fetches() - held} fetches`);
  // A token that names a known key and has a wrong signature: no newer key set changes that.
  const forged = await mint({ ...was, kid: "is" });
  assert.equal((await verifier.verify(forged)).code, "bad_signature");
});

// An issuer that is down does not affect another issuer's tokens.
test("an issuer whose keys cannot be fetched does not delay another one", async () => {
  const down = await startStub({ jwks: (_, response) => void response.destroy() });
  open.push(down);
  const other = { issuer: "https://down.test", audience: AUDIENCE, keys: `${down.url}/jwks` };
  const { verifier } = await start({ issuers: [other] });
  assert.deepEqual((await crowd(verifier, goodNext)).counts, { 200: 100 });
  const { codes } = await crowd(verifier, await mint(next, { iss: "https://down.test" }), 1);
  // Its key is the first issuer's, and the issuer that it names may have the same key (I03).
  assert.deepEqual([...codes], ["no_keys"]);
  const unknown = await mint(await signingKey("EdDSA", "never"), { iss: "https://down.test" });
  assert.equal((await verifier.verify(unknown)).code, "no_keys");
});

// E02: a token without an issuer is searched for at each of them, also if one may not be fetched now.
test("a search during the cooldown of one issuer does not block the event loop", async () => {
  const down = await startStub({ jwks: (_, response) => void response.writeHead(503, { "retry-after": 20 }).end() });
  open.push(down);
  const other = { issuer: "https://down.test", audience: AUDIENCE, keys: `${down.url}/jwks` };
  const { stub, verifier } = await start({ issuers: [other] });
  await sleep(2100); // the cooldown of the issuer that is up
  stub.jwks = slow({ keys: [old.jwk, next.jwk] }, 300);
  const [header, , signature] = (await mint(await signingKey("EdDSA", "never"))).split(".");
  const token = [header, Buffer.from("null").toString("base64url"), signature].join(".");
  const asking = verifier.verify(token);
  const began = performance.now();
  await sleep(50);
  assert.ok(performance.now() - began < 1000, "the event loop was blocked");
  assert.equal((await asking).code, "no_keys");
});

// D102: a key id belongs to one issuer. Another issuer's key of that name does not hide a rotation.
for (const alg of ["ES256", "EdDSA"]) {
  test(`a rotated key is found although another issuer has an ${alg} key of that kid`, async () => {
    const namesake = await signingKey(alg, "next");
    const other = { issuer: "https://other.test", audience: AUDIENCE, keys: { keys: [namesake.jwk] } };
    const { stub, verifier, fetches } = await start({ issuers: [other] });
    const published = stub.jwks;
    stub.jwks = (_, response) => void response.destroy();
    assert.equal((await verifier.verify(goodNext)).code, "keys_unavailable");
    assert.equal(verifier.verifySync(goodNext).code, "keys_unavailable");
    stub.jwks = published;
    const end = Date.now() + 10_000;
    while ((await verifier.verify(goodNext)).code !== "valid") assert.ok(Date.now() < end, "it recovers alone");
    const before = fetches();
    const theirs = await mint(await signingKey("ES256", "next"), { iss: "https://other.test" });
    assert.equal((await verifier.verify(theirs)).code, "bad_signature");
    assert.equal(fetches(), before);
  });
}

// I16: a key id that one issuer has withdrawn does not affect another issuer's key of that name.
test("a kid that one issuer has withdrawn is searched for at another issuer", async () => {
  const other = await startStub({ jwks: { keys: [] } });
  open.push(other);
  const issuer = "https://other.test";
  const { stub, verifier } = await start({ issuers: [{ issuer, audience: AUDIENCE, keys: `${other.url}/jwks` }] });
  stub.jwks = { keys: [next.jwk] };
  for (let fetches = 0; fetches < 2; fetches += 1) await verifier.refreshKeys();
  const namesake = await signingKey("EdDSA", "old");
  other.jwks = { keys: [namesake.jwk] };
  assert.equal((await verifier.verify(await mint(namesake, { iss: issuer }))).code, "valid");
});

// E04: the caller that fetches gives up; the others do not.
test("a caller that gives up does not end the search of the others", async () => {
  const { stub, verifier } = await start();
  await sleep(2100);
  stub.jwks = slow({ keys: [next.jwk] }, 500);
  const abort = new AbortController();
  const first = verifier.verify(goodNext, { signal: abort.signal });
  await sleep(50);
  const others = crowd(verifier, goodNext);
  abort.abort();
  assert.equal((await first).outcome, "undecided");
  assert.deepEqual((await others).counts, { 200: 100 });
});

// In Workers `performance.now()` is the wall clock's, which may be set back.
test("a clock that is set back neither blocks a fetch nor confirms an older set", async (context) => {
  const { stub, verifier, fetches } = await start();
  const { now } = performance;
  context.after(() => { performance.now = now; });
  performance.now = () => now.call(performance) - 3_600_000;
  assert.deepEqual((await crowd(verifier, goodNext)).counts, { 200: 100 });
  assert.equal(fetches(), 1);
  stub.jwks = () => {};
  performance.now = () => now.call(performance);
  const unanswered = verifier.verify(await mint(await signingKey("EdDSA", "never")), { timeoutSeconds: 0.2 });
  await sleep(50);
  stub.jwks = { keys: [old.jwk, next.jwk] };
  performance.now = () => now.call(performance) - 3_600_000;
  assert.equal((await verifier.verify(await mint(await signingKey("EdDSA", "other")))).code, "unknown_key");
  assert.equal((await unanswered).code, "keys_unavailable");
});

// V17: a late failure does not affect what has arrived since.
test("a fetch that fails after a newer one succeeded does not make keys undecided", async () => {
  const { stub, verifier } = await start();
  let fail;
  stub.jwks = (_, response) => { fail = () => response.destroy(); };
  const first = verifier.refreshKeys();
  while (fail === undefined) await sleep(10);
  stub.jwks = { keys: [next.jwk] };
  assert.equal(await verifier.refreshKeys(), true);
  fail();
  await first;
  assert.equal(verifier.verifySync(goodOld).code, "unknown_key");
  assert.equal(verifier.status().keys[0].problem, null);
});
