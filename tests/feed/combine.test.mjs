// Several feeds: one verifier for each, and one over all of them.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { combine } from "offswitch/feeds";
import { guard } from "offswitch/guard";
import { createTestIssuer } from "offswitch/testing";
import { mint as mintWith, now, sign, signingKey } from "../support/fixture.mjs";
import { until } from "../support/feed.mjs";
import { asked, startStub } from "../support/stub.mjs";

const EU = "https://eu.test";
const US = "https://us.test";
const keys = { [EU]: await signingKey("EdDSA", "eu"), [US]: await signingKey("ES256", "us") };
const seeds = { [EU]: 11, [US]: 12 };
const signed = Object.fromEntries([EU, US].map((issuer) => {
  const of = { feed: issuer, issuer, seed: seeds[issuer] };
  const { publicKey, snapshots } = sign([
    { ...of, to: 2 }, { ...of, from: 2, to: 3, tokens: ["token"] }, { ...of, from: 2, to: 2, issued_at: now() + 200 },
  ]);
  return [issuer, { publicKey, base: snapshots[0], delta: snapshots[1], beat: snapshots[2] }];
}));
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

function verifierOf(issuer, more = {}, feed = {}) {
  const { publicKey } = signed[issuer];
  const verifier = new Verifier({
    issuer, audience: "api", keys: { keys: [keys[issuer].jwk] }, onEvent() {},
    ...more,
    feed: { url: `${issuer}/feed`, publicKeys: [publicKey], maxStaleness: 60, ...feed },
  });
  return verifier;
}

/** Two feeds with a base each, and the verifier over both. */
function start(more = {}, feed = {}) {
  const time = { ahead: 0 };
  const clock = () => Date.now() / 1000 + time.ahead;
  const [eu, us] = [EU, US].map((issuer) => verifierOf(issuer, { clock, ...more }, feed));
  eu.apply(signed[EU].base);
  us.apply(signed[US].base);
  return { both: combine([eu, us]), eu, time, us };
}

const mint = (issuer, claims = {}, header = {}) =>
  mintWith(keys[issuer], { iss: issuer, exp: now() + 3600, ...claims }, header);
const token = { [EU]: await mint(EU), [US]: await mint(US) };
const codes = async (verifier) => {
  const found = {};
  for (const [name, issuer] of Object.entries({ eu: EU, us: US })) {
    found[name] = (await verifier.verify(token[issuer])).code;
    assert.equal(verifier.verifySync(token[issuer]).code, found[name]);
  }
  return found;
};

// P07: the key that fits names the issuer, and the issuer has its feed.
test("each token is judged by the feed of its issuer", async () => {
  const { both, eu, us } = start();
  assert.deepEqual(await codes(both), { eu: "valid", us: "valid" });
  eu.apply(signed[EU].delta);
  assert.deepEqual(await codes(both), { eu: "revoked_token", us: "valid" }, "the same jti at another issuer");
  us.apply(signed[US].delta);
  assert.deepEqual(await codes(both), { eu: "revoked_token", us: "revoked_token" });
});

// P07: the freshness of each feed is its own.
test("a stale feed makes only its own issuers' tokens undecided", async () => {
  const { both, time, us } = start();
  time.ahead = 200;
  us.apply(signed[US].beat);
  assert.deepEqual(await codes(both), { eu: "stale_snapshot", us: "valid" });
  const { ageSeconds, feeds, position, ready } = both.status();
  assert.ok(ageSeconds >= 190, "that of the oldest");
  assert.ok(feeds[1].ageSeconds < 30);
  assert.deepEqual([position, ready, feeds.length], ["1.2", true, 2]);
});

test("a feed without a snapshot leaves the others usable", async () => {
  const [eu, us] = [verifierOf(EU), verifierOf(US)];
  us.apply(signed[US].base);
  const both = combine([eu, us]);
  assert.deepEqual(await codes(both), { eu: "no_snapshot", us: "valid" });
  assert.deepEqual([both.isReady, both.status().ready, both.status().ageSeconds], [false, false, null]);
});

// P07, V01: the name in a token is not verified, and no key of one feed is good for the issuers of another.
test("a token of one feed's key is not good for another feed's issuer", async () => {
  const { both } = start();
  for (const [signer, named] of [[EU, US], [US, EU], [EU, "https://other.test"]]) {
    const lie = await mintWith(keys[signer], { iss: named });
    assert.equal((await both.verify(lie)).outcome, "refused", `${signer} as ${named}`);
    assert.equal(both.verifySync(lie).outcome, "refused");
  }
});

test("issuers of two feeds may share a key and its name", async () => {
  const shared = { keys: { keys: [keys[EU].jwk] } };
  const [eu, us] = [verifierOf(EU, shared), verifierOf(US, { ...shared, types: ["other+jwt"] })];
  eu.apply(signed[EU].base);
  us.apply(signed[US].base);
  us.apply(signed[US].delta);
  for (const both of [combine([eu, us]), combine([us, eu])]) {
    assert.equal((await both.verify(token[EU])).code, "valid");
    const other = await mintWith(keys[EU], { iss: US }, { typ: "other+jwt" });
    assert.equal((await both.verify(other)).code, "revoked_token");
    assert.equal(both.verifySync(other).code, "revoked_token");
  }
});

test("a refusal is that of the verifier with the issuer that the token names", async () => {
  const { both } = start();
  const cases = {
    expired: await mint(US, { iat: now() - 900, exp: now() - 600 }),
    wrong_audience: await mint(US, { aud: "other" }),
    unknown_key: await mint(US, {}, { kid: "other" }),
    wrong_issuer: await mintWith(keys[US], { iss: "https://other.test" }),
    malformed: "x.y.z",
  };
  cases.bad_signature = `${cases.expired.slice(0, -8)}${cases.wrong_audience.slice(-8)}`;
  for (const [code, bad] of Object.entries(cases)) {
    assert.equal((await both.verify(bad)).code, code);
    assert.equal(both.verifySync(bad).code, code);
  }
  for (const value of [undefined, null, 5, {}, ""]) {
    assert.equal((await both.verify(value)).outcome, "refused");
    assert.equal(both.verifySync(value).outcome, "refused");
  }
  await assert.rejects(both.verify(token[EU], { maxStaleness: -1 }), { code: "invalid_options" });
});

test("a policy is that of the verdict, and the options are those of each feed", async () => {
  const { both, time } = start();
  time.ahead = 100;
  assert.equal((await both.verify(token[US])).code, "stale_snapshot");
  assert.equal((await both.verify(token[US], { onStale: "allow" })).code, "valid");
  assert.equal((await both.verify(token[US], { maxStaleness: 300 })).code, "valid");
  assert.equal(both.verifySync(token[US], { maxStaleness: 5 }).code, "stale_snapshot");
});

// P07, V13: a key set that hangs delays the tokens of its own issuers.
test("a key set that hangs does not delay the tokens of another feed", async () => {
  const stub = await startStub({ jwks: () => {} });
  open.push(stub);
  const eu = verifierOf(EU, { keys: `${stub.url}/jwks` });
  const us = verifierOf(US);
  us.apply(signed[US].base);
  const both = combine([eu, us]);
  const began = performance.now();
  assert.equal((await both.verify(token[US])).code, "valid");
  assert.ok(performance.now() - began < 1000);
  assert.equal((await both.verify(token[EU], { timeoutSeconds: 0.3 })).code, "no_keys");
  stub.jwks = { keys: [keys[EU].jwk] };
  eu.apply(signed[EU].base);
  assert.equal((await both.verify(token[EU], { timeoutSeconds: 10 })).code, "valid", "it was searched for");
});

// P07: a token that names no issuer must not make every issuer's keys be fetched, one after the other.
test("a token that nothing can be read of is searched for by one verifier", async () => {
  const stubs = [await startStub({ jwks: () => {} }), await startStub({ jwks: () => {} })];
  open.push(...stubs);
  const [eu, us] = [EU, US].map((issuer, at) => verifierOf(issuer, { keys: `${stubs[at].url}/jwks` }));
  const [header, , signature] = token[EU].split(".");
  const verdict = await combine([eu, us]).verify(`${header}.AAAA.${signature}`, { timeoutSeconds: 0.2 });
  assert.equal(verdict.code, "no_keys");
  assert.deepEqual(stubs.map((stub) => asked(stub, "/jwks")), [1, 0]);
});

test("the watcher of a token is called by its own feed", async () => {
  const { both, eu, us } = start();
  const called = [];
  for (const issuer of [EU, US]) both.onRevoked(token[issuer], ({ code }) => called.push([issuer, code]));
  assert.equal(both.status().watched, 2);
  us.apply(signed[US].delta);
  assert.deepEqual(called, [[US, "revoked_token"]]);
  eu.apply(signed[EU].delta);
  assert.deepEqual(called, [[US, "revoked_token"], [EU, "revoked_token"]]);
});

test("a snapshot is applied to the feed that it is of", () => {
  const [eu, us] = [verifierOf(EU), verifierOf(US)];
  const both = combine([eu, us]);
  assert.deepEqual(both.apply(signed[US].base), { applied: "replaced" });
  assert.deepEqual([eu.since(), us.since(), both.since()], [undefined, "1.2", undefined]);
  assert.deepEqual(both.apply(signed[EU].base), { applied: "replaced" });
  assert.ok("error" in both.apply(new Uint8Array(9)));
  assert.throws(() => both.apply("text"), TypeError);
});

test("the checks of a token are those of its own verifier", () => {
  const { both, us } = start();
  us.apply(signed[US].delta);
  assert.equal(both.explain(token[US]).find(({ result }) => result === "refused").code, "revoked_token");
  assert.ok(both.explain(token[EU]).every(({ result }) => result !== "refused"));
});

// P07: one that hangs does not keep the middleware from the others.
test("a route answers 503 for the tokens of a feed that is away, and serves the others", async () => {
  const stub = await startStub({ snapshot: signed[US].base });
  const dead = await startStub();
  dead.isUp = false;
  open.push(stub, dead);
  const eu = verifierOf(EU, {}, { url: `${dead.url}/feed` });
  const us = verifierOf(US, {}, { url: `${stub.url}/feed` });
  const handler = guard(combine([us, eu]), (_, { claims }) => new Response(claims.iss));
  const ask = (one) => handler(new Request("http://app.test/", { headers: { authorization: `Bearer ${one}` } }));
  for (let times = 0; times < 3; times += 1) {
    const [away, served] = [await ask(token[EU]), await ask(token[US])];
    assert.equal(away.status, 503);
    assert.equal((await away.json()).code, "no_snapshot");
    assert.deepEqual([served.status, await served.text()], [200, US]);
  }
  assert.equal(eu.status().following, "requests");
  const before = stub.requests.length;
  for (let times = 0; times < 20; times += 1) await ask(token[EU]);
  assert.ok(stub.requests.length - before <= 2, "an undecided token polls its own feed and no other");
  dead.isUp = true;
  dead.snapshot = signed[EU].base;
  assert.ok(await until(async () => (await ask(token[EU])).status === 200));
});

// E02: nothing is held yet, as in a Worker, and a request asks the feed of its own token.
test("the first request of a cold process is decided, whichever feed its token needs", async () => {
  for (const issuer of [EU, US]) {
    const stubs = { [EU]: await startStub({ snapshot: signed[EU].base }), [US]: await startStub({ snapshot: signed[US].base }) };
    open.push(...Object.values(stubs));
    const cold = [EU, US].map((one) => verifierOf(one, {}, { url: `${stubs[one].url}/feed` }));
    const handler = guard(combine(cold), () => new Response("in"));
    const headers = { authorization: `Bearer ${token[issuer]}` };
    const request = new Request("http://app.test/", { headers });
    assert.equal((await handler(request, { waitUntil() {} })).status, 200, issuer);
  }
});

test("each verifier follows its own feed until all are closed", async () => {
  const stubs = [await startStub({ snapshot: signed[EU].base }), await startStub({ snapshot: signed[US].base })];
  open.push(...stubs);
  const make = (issuer, stub) => createVerifier({
    issuer, audience: "api", keys: { keys: [keys[issuer].jwk] },
    feed: { url: `${stub.url}/feed`, publicKeys: [signed[issuer].publicKey], follow: "poll", pollSeconds: 0.05 },
  });
  const both = combine([await make(EU, stubs[0]), await make(US, stubs[1])]);
  let closed = 0;
  both.onClose(() => { closed += 1; });
  assert.deepEqual(await codes(both), { eu: "valid", us: "valid" });
  assert.ok("applied" in (await both.refresh()));
  assert.equal(await both.refreshKeys(), false);
  stubs[0].isUp = false;
  assert.ok("error" in (await both.refresh()));
  assert.deepEqual(both.status().keys.map(({ issuer }) => issuer), [EU, US]);
  both.close();
  assert.equal(closed, 1);
  assert.throws(() => both.verifySync(token[EU]), /closed/);
});

test("verifiers that cannot be combined are refused", () => {
  const [eu, us] = [verifierOf(EU), verifierOf(US)];
  const refused = (value, text) => assert.throws(() => combine(value), ({ code, message, name }) =>
    code === "invalid_options" && name === "TypeError" && message.includes(text));
  for (const value of [undefined, null, [], {}, eu, [eu, {}], [Promise.resolve(eu)], [combine([eu, us])]]) {
    refused(value, "combine takes an array");
  }
  refused([eu, us, verifierOf(EU)], "verifiers[2]: has the issuer");
  refused([eu, eu], "verifiers[1]: has the issuer");
  assert.equal(combine([eu]).verifySync(token[EU]).code, "no_snapshot");
});

// P07: the same in the unit tests of applications.
test("verifiers of two test issuers can be combined", async () => {
  const [eu, us] = [await createTestIssuer({ issuer: EU }), await createTestIssuer({ issuer: US })];
  const both = combine([await eu.createVerifier(), await us.createVerifier()]);
  const [ofEu, ofUs] = [await eu.token({ sub: "alice" }), await us.token({ sub: "alice" })];
  await eu.revoke({ sub: "alice" });
  assert.equal(both.verifySync(ofEu).code, "revoked_user");
  assert.equal(both.verifySync(ofUs).code, "valid");
  const away = combine([eu.createUndecidedVerifier(), await us.createVerifier()]);
  assert.equal(away.verifySync(await eu.token()).code, "no_snapshot");
  assert.equal(away.verifySync(ofUs).code, "valid");
});
