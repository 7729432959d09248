// Each preset judges tokens and key sets in the shape that its provider publishes, with our own keys, and
// refuses near misses. The fixtures are those of verifier-wasm/tests/presets.rs. I04.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { SignJWT } from "jose";
import { Verifier, preset } from "offswitch";
import { ROOT, now, sign } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
const fixtures = read("fixtures.json");
const parameters = read("parameters.json");
const presets = JSON.parse(readFileSync(join(ROOT, "verifier-wasm/presets.json"), "utf8"));
const { publicKey, snapshots: [base] } = sign([{ to: 2 }]);

const KINDS = { RSA: ["rsa", { modulusLength: 2048 }], EC: ["ec", { namedCurve: "P-256" }] };
const pairs = { RSA: [], EC: [] };
const pair = (type, at) => (pairs[type][at] ??= generateKeyPairSync(...KINDS[type]));

/** The key set as it is published, with our own keys, and the private key of each kid. */
function keySetOf({ keys, set }) {
  const secrets = new Map();
  const members = keys.map(({ type, ...published }, at) => {
    const { privateKey, publicKey: own } = pair(type, at);
    secrets.set(published.kid, privateKey);
    return { ...own.export({ format: "jwk" }), ...published };
  });
  return { jwks: { ...set, keys: members }, secrets };
}

/** Replaces members, removes those that are null, and turns relative times into absolute ones. */
function changed(object, changes = {}) {
  const entries = Object.entries({ ...object, ...changes }).filter(([, value]) => value !== null);
  return Object.fromEntries(entries.map(([name, value]) =>
    [name, ["exp", "iat", "nbf", "auth_time"].includes(name) && typeof value === "number" ? now() + value : value]));
}

function tokenOf({ header, claims }, more, key) {
  return new SignJWT(changed(claims, more.claims)).setProtectedHeader(changed(header, more.header)).sign(key);
}

for (const [name, fixture] of Object.entries(fixtures)) {
  const { jwks, secrets } = keySetOf(fixture);
  const secret = secrets.get(fixture.header.kid);
  const options = preset(name, fixture.parameters);
  const start = () => {
    const verifier = new Verifier({
      issuers: [{ ...options, keys: jwks }],
      feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
    });
    verifier.apply(base);
    return verifier;
  };

  test(`${name}: the preset names the issuer and the key set that the provider has`, () => {
    assert.equal(options.issuer, fixture.issuer);
    assert.equal(options.keys, fixture.jwks);
    new Verifier({ issuers: [options], feed: { url: "http://feed.invalid", id: "feed", publicKeys: [publicKey] } }).close();
  });

  // I04
  test(`${name}: a token as the provider issues it is valid`, async () => {
    const verifier = start();
    for (const more of [{}, ...fixture.also]) {
      const token = await tokenOf(fixture, more, secret);
      for (const verdict of [verifier.verifySync(token), await verifier.verify(token)]) {
        assert.equal(verdict.code, "valid", `${more.name}: ${verdict.detail}`);
        assert.equal(verdict.claimsJson, Buffer.from(token.split(".")[1], "base64url").toString());
      }
    }
    verifier.close();
  });

  // I04: tokens that the provider signs for another purpose, and tokens that anyone could make.
  test(`${name}: near misses are refused`, async () => {
    const verifier = start();
    const other = generateKeyPairSync(...KINDS[fixture.keys.find(({ kid }) => kid === fixture.header.kid).type]).privateKey;
    const { alg } = fixture.header;
    const misses = [
      ...fixture.misses,
      { name: "expired", claims: { iat: -200_000, nbf: null, exp: -199_900 }, code: "expired" },
      { name: "too early", claims: { iat: 600, nbf: null, exp: 900 }, code: "not_yet_valid" },
      { name: "another type", header: { typ: "refresh+jwt" }, code: "wrong_type" },
      { name: "an unknown kid", header: { kid: "unknown" }, code: "unknown_key" },
      { name: "another issuer", claims: { iss: `${fixture.issuer}x` }, code: "wrong_issuer" },
      { name: "another key", key: other, code: "bad_signature" },
      ...(alg === "RS256" ? [{ name: "another algorithm", header: { alg: "RS512" }, code: "unsupported_algorithm" }] : []),
      ...options.requiredClaims.map((claim) => ({ name: `no ${claim}`, claims: { [claim]: null }, code: "missing_claim" })),
      ...Object.keys(options.requiredValues ?? {}).flatMap((claim) => [
        { name: `no ${claim}`, claims: { [claim]: null }, code: "missing_claim" },
        { name: `another ${claim}`, claims: { [claim]: "other" }, code: "wrong_claim" },
      ]),
      ...(options.audience === "unchecked" ? [] : [
        { name: "another audience", claims: { aud: "other" }, code: "wrong_audience" },
        { name: "no audience", claims: { aud: null }, code: "wrong_audience" },
      ]),
    ];
    for (const { name: what, code, key, ...more } of misses) {
      const token = await tokenOf(fixture, more, key ?? secret);
      for (const verdict of [verifier.verifySync(token), await verifier.verify(token)]) {
        assert.ok([code].flat().includes(verdict.code), `${what}: ${verdict.code}, ${verdict.detail}`);
      }
    }
    verifier.close();
  });

  test(`${name}: the claims that are ids are in the provider's tokens, and can be revoked`, () => {
    const { claims } = presets[name];
    const tokens = [{}, ...fixture.also].map((more) => changed(fixture.claims, more.claims));
    const at = (token, path) =>
      (path.startsWith("/") ? path.slice(1).split("/") : [path]).reduce((value, member) => value?.[member], token);
    for (const [what, path] of Object.entries(claims)) {
      if (path === null) continue;
      const values = tokens.map((token) => at(token, path)).filter((value) => value !== undefined);
      const isOptional = `${name} ${what}` in NOT_IN_EVERY_TOKEN;
      assert.ok(values.length > 0 || isOptional, `${what} ${path}`);
      for (const value of values) assert.equal(typeof value, "string", `${what} ${path}`);
    }
    assert.ok(presets[name].horizonSeconds >= Math.max(...tokens.map(({ exp, iat }) => exp - iat)));
  });
}

/** Ids that only some tokens of a provider have. */
const NOT_IN_EVERY_TOKEN = { "supabase token": true, "zitadel session": true };

test("every preset has a fixture", () => {
  assert.deepEqual(Object.keys(fixtures), Object.keys(presets));
});

test("the files generated from presets.json are up to date", () => {
  execFileSync(process.execPath, [join(ROOT, "verifier-wasm/build/presets.mjs"), "--check"], { stdio: "pipe" });
});

test("every preset has the required members, and uses only parameters that it declares", () => {
  for (const [name, one] of Object.entries(presets)) {
    const { parameters: own, issuer, jwks, audience, requiredValues = {}, sources, horizonSeconds } = one;
    const inAddresses = [issuer, jwks].join().matchAll(/\{(\w+)\}/g);
    for (const [, parameter] of inAddresses) assert.notEqual(own[parameter].kind, "text", `${name} ${parameter}`);
    const inClaims = [audience, ...Object.values(requiredValues).flat()].join().matchAll(/\{(\w+)\}/g);
    for (const [, parameter] of inClaims) assert.ok(parameter in own, `${name} ${parameter}`);
    assert.ok(sources.length > 0 && sources.every((source) => URL.canParse(source)), name);
    assert.ok(horizonSeconds >= 60 && horizonSeconds <= 604_800, name);
    const types = one.algorithms.map((alg) => alg.slice(0, 2).replace("PS", "RS"));
    assert.equal(new Set(types).size, types.length, `${name} has one algorithm for each type of key`);
  }
});

for (const { preset: name, parameters: given, issuer } of parameters.good) {
  test(`${name} takes ${JSON.stringify(given)}`, () => assert.equal(preset(name, given).issuer, issuer));
}

// X22, I04: a parameter cannot change other parts of an address.
for (const { preset: name, parameters: given, wrong } of parameters.bad) {
  test(`${name} refuses ${JSON.stringify(given).slice(0, 120)}`, () => {
    assert.throws(() => preset(name, given), (error) => {
      assert.ok(error instanceof TypeError);
      assert.equal(error.code, "invalid_preset");
      assert.doesNotMatch(error.message, /[^ -~]/);
      for (const parameter of wrong) assert.match(error.message, new RegExp(`[ "]${parameter}"? is `));
      return true;
    });
  });
}

test("a preset that does not exist is refused with the names of those that do", () => {
  for (const name of [...parameters.unknown, undefined, null, 5, {}, ["entra"]]) {
    if (Array.isArray(name)) continue;
    assert.throws(() => preset(name, {}), (error) =>
      error.code === "unknown_preset" && /keycloak/.test(error.message) && error instanceof TypeError, String(name));
  }
  for (const given of [undefined, null, "x", 5]) {
    assert.throws(() => preset("google", given), { code: "invalid_preset" }, String(given));
  }
});

test("the result of a preset belongs to the caller", () => {
  const first = preset("google", { audience: ["a"] });
  first.algorithms.push("HS256");
  first.audience.push("b");
  const second = preset("google", { audience: ["a"] });
  assert.deepEqual([second.algorithms, second.audience], [["RS256"], ["a"]]);
});

// The two presets of design.md's example, in one verifier, with fetched key sets.
test("two presets verify in one verifier with fetched key sets", async () => {
  const stubs = [];
  after(async () => { for (const stub of stubs) await stub.close(); });
  const issuers = await Promise.all(["entra", "keycloak"].map(async (name) => {
    const stub = await startStub({ jwks: keySetOf(fixtures[name]).jwks, snapshot: base });
    stubs.push(stub);
    return { ...preset(name, fixtures[name].parameters), keys: `${stub.url}/jwks` };
  }));
  const verifier = new Verifier({
    issuers, feed: { url: `${stubs[0].url}/feed`, id: "feed", publicKeys: [publicKey], maxStaleness: 600 },
  });
  await verifier.refresh();
  for (const name of ["entra", "keycloak"]) {
    const { secrets } = keySetOf(fixtures[name]);
    const token = await tokenOf(fixtures[name], {}, secrets.get(fixtures[name].header.kid));
    assert.equal((await verifier.verify(token)).code, "valid", name);
  }
  const [{ dropped }, { dropped: ofKeycloak }] = verifier.status().keys;
  assert.deepEqual(dropped, []);
  assert.match(ofKeycloak.join(), /not for verifying signatures/);
  verifier.close();
});
