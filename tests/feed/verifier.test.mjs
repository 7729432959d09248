// The verifier as a JavaScript program meets it.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Verifier, createVerifier } from "offswitch";
import { WasmVerifier } from "../../verifier-wasm/pkg/offswitch.js";
import { AUDIENCE, ISSUER, mint, now, sign, signingKey } from "../support/fixture.mjs";
import { asked, startStub } from "../support/stub.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta] } = sign([
  { to: 2, tokens: ["gone"], valid_until: now() + 600 },
  { from: 2, to: 3, tokens: ["later"] },
]);
const options = (more = {}, feed = {}) => ({
  issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] }, ...more,
  feed: { url: "http://feed.invalid/feed", id: "feed", publicKeys: [publicKey], ...feed },
});
const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
after(stub.close);
const good = await mint(key);

// V10, X16: every problem is named at once.
test("wrong options are a TypeError that names every problem", () => {
  const wrong = { ...options({ leewaySeconds: NaN, audiance: "x" }, { maxStaleness: Infinity, onStale: "maybe" }), issuer: 3 };
  const message = /options\.audiance is unknown.*issuer must.*leewaySeconds must.*feed\.maxStaleness must/;
  assert.throws(() => new Verifier(wrong), (error) => error instanceof TypeError && message.test(error.message));
  const cases = [
    undefined, null, [], "x", {}, options({ leewaySeconds: -1 }), options({ leewaySeconds: 301 }),
    options({ leewaySeconds: "30" }), options({ algorithms: ["none"] }), options({ algorithms: [] }),
    options({ audience: "" }), options({ audience: [] }), options({ types: [1] }), options({ keys: "ftp://x" }),
    options({ keys: { keys: [] } }), options({ requiredClaims: ["sub"] }), options({ clock: 5 }),
    options({ userRule: "none" }), options({}, { onStale: "maybe" }), options({}, { url: "x" }),
    options({}, { publicKeys: ["AAAA"] }), options({}, { publicKeys: [] }), options({}, { maxStaleness: 0 }),
    options({}, { maxStaleness: 1e9 }), options({}, { pollSeconds: NaN }), options({}, { longPoll: -1 }),
    options({}, { maxBytes: Infinity }), options({}, { timeoutSeconds: "1" }), options({}, { apiKey: 5 }),
  ];
  for (const one of cases) assert.throws(() => new Verifier(one), TypeError, JSON.stringify(one));
});

// X16: the clock is checked whenever it is read.
test("a clock that is not a finite time decides nothing", () => {
  for (const time of [NaN, -1, Infinity]) {
    const verifier = new Verifier(options({ clock: () => time }));
    assert.throws(() => verifier.verifySync(good), /now must be unix seconds/);
  }
});

// E07: whatever keys tokens name, the set is fetched once per cooldown; good keys stay.
test("10,000 unknown keys cause one fetch", async () => {
  let ahead = 0;
  const begin = Date.now() / 1000;
  const clock = () => begin + ahead;
  const verifier = new Verifier(options({ keys: `${stub.url}/jwks`, clock }, { url: `${stub.url}/feed`, maxStaleness: 600 }));
  await verifier.refresh();
  const before = asked(stub, "/jwks");
  const [, payload, signature] = good.split(".");
  const forge = (kid) =>
    `${Buffer.from(JSON.stringify({ alg: "EdDSA", kid, typ: "at+jwt" })).toString("base64url")}.${payload}.${signature}`;
  ahead = 31;
  for (let index = 0; index < 10_000; index += 1) {
    assert.equal((await verifier.verify(forge(`k${index}`))).code, "unknown_key");
  }
  assert.equal(asked(stub, "/jwks"), before + 1);
  assert.equal(verifier.verifySync(good).code, "valid");
  const next = await signingKey("ES256", "next");
  stub.jwks = { keys: [key.jwk, next.jwk] };
  ahead = 62;
  assert.equal((await verifier.verify(await mint(next))).code, "valid");
  stub.jwks = { keys: [key.jwk] };
});

// E03: more bytes than wasm can address are a real trap; what was held is in force again.
test("a snapshot that no memory can hold leaves the last good state in force", async () => {
  const verifier = new Verifier(options());
  verifier.apply(base);
  verifier.apply(delta);
  const memory = verifier.memoryBytes;
  for (let round = 0; round < 3; round += 1) {
    const result = verifier.apply(new Uint8Array(2 ** 31));
    assert.equal(result.error, "verifier_failed");
    assert.equal(verifier.verifySync(good).code, "valid");
    assert.equal(verifier.verifySync(await mint(key, { jti: "later" })).code, "revoked_token");
  }
  assert.ok(verifier.memoryBytes <= memory);
});

// E03: no known token traps, so the binding is made to fail as a trap does.
test("a trapped instance is replaced with what was held, and the failing request is denied", () => {
  const verifier = new Verifier(options());
  const other = new Verifier(options());
  verifier.apply(base);
  verifier.apply(delta);
  other.apply(base);
  const { verify } = WasmVerifier.prototype;
  WasmVerifier.prototype.verify = () => {
    throw new WebAssembly.RuntimeError("unreachable");
  };
  const failed = verifier.verifySync(good);
  WasmVerifier.prototype.verify = verify;
  assert.deepEqual([failed.outcome, failed.code], ["undecided", "verifier_failed"]);
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.equal(verifier.since(), "1.3");
  assert.equal(other.verifySync(good).code, "valid", "all verifiers share the instance");
  assert.equal(other.since(), "1.2");
});

// S03: what a trap may cost is freshness, never the floor.
test("revocations survive the replacement of an instance", async () => {
  const verifier = new Verifier(options());
  verifier.apply(base);
  verifier.apply(delta);
  const { verify } = WasmVerifier.prototype;
  WasmVerifier.prototype.verify = () => {
    throw new RangeError("Maximum call stack size exceeded");
  };
  verifier.verifySync(good);
  WasmVerifier.prototype.verify = verify;
  for (const jti of ["gone", "later"]) {
    assert.equal(verifier.verifySync(await mint(key, { jti })).code, "revoked_token");
  }
});

// E08: applying over and over does not make the memory grow.
test("1000 swaps of the base leave the memory as it was", () => {
  const { snapshots } = sign(Array.from({ length: 40 }, (_, index) => ({ to: index + 1, extra: 20_000 })));
  const verifier = new Verifier(options());
  for (const bytes of snapshots.slice(0, 8)) verifier.apply(bytes);
  const before = verifier.memoryBytes;
  for (let round = 0; round < 25; round += 1) for (const bytes of snapshots) verifier.apply(bytes);
  assert.ok(verifier.memoryBytes <= before, `${before} became ${verifier.memoryBytes}`);
});

// V13, X21: deep nesting and huge input are clean refusals; the instance lives on.
test("hostile tokens do not harm the instance", async () => {
  const verifier = new Verifier(options());
  verifier.apply(base);
  const deep = Buffer.from("[".repeat(1_000_000)).toString("base64url");
  const [header, , signature] = good.split(".");
  for (const token of [".".repeat(10_000_000), `${header}.${deep}.${signature}`, `${deep}.a.b`, "\ud800.\udc00.x"]) {
    assert.equal(verifier.verifySync(token).code, "malformed");
  }
  assert.equal(verifier.verifySync(good).code, "valid");
});

// E02: a long-lived runtime starts without its control plane and recovers alone.
test("createVerifier follows the feed through an outage", async () => {
  stub.isUp = false;
  const verifier = await createVerifier(options({ keys: `${stub.url}/jwks` }, { url: `${stub.url}/feed`, pollSeconds: 0.05 }));
  assert.deepEqual([verifier.verifySync(good).code, verifier.isReady], ["no_keys", false]);
  stub.isUp = true;
  for (let tries = 0; tries < 100 && !verifier.isReady; tries += 1) {
    await new Promise((resume) => setTimeout(resume, 50));
  }
  assert.equal(verifier.verifySync(good).code, "valid");
  assert.deepEqual(Object.keys(verifier.verifySync(good).evidence), ["position", "age_seconds"]);
  verifier.close();
  assert.throws(() => verifier.verifySync(good), /closed/);
});
