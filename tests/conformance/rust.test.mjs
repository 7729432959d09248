import assert from "node:assert/strict";
import { test } from "node:test";
import "offswitch";
import { readOptions } from "../../verifier-wasm/js/options.js";
import { runExample } from "../support/fixture.mjs";
import { theCases } from "./expect.mjs";

// E11: the crate alone, with the same configuration as wasm.
test("every case gets its verdict in Rust", () => {
  const { verifiers, cases } = theCases();
  const setups = Object.entries(verifiers).map(([name, { now, options, snapshots }]) => {
    const { config, keySources } = readOptions(options);
    const keys = keySources.map(({ issuer, jwks }) => [issuer, jwks]);
    return [name, { now, config: Buffer.from(config).toString(), keys, snapshots }];
  });
  const { texts, valid } = judge("conformance", Object.fromEntries(setups), cases);
  // Judged twice, except where the policy belongs to the request.
  const good = texts.filter(({ outcome }) => outcome === "valid");
  assert.equal(valid, good.length * 2 - good.filter(({ policy }) => policy).length);
});

// E11, G01: the client as a service uses it, with a feed that is followed over HTTP.
test("every case gets its verdict from the Rust client", () => {
  const { verifiers, cases } = theCases();
  const setups = Object.entries(verifiers).map(([name, { now, options: { feed, issuers, ...only }, snapshots }]) => {
    const rules = (issuers ?? [only]).map(issuerOf);
    return [name, { now, feed, issuers: rules, snapshots }];
  });
  const { texts, valid } = judge("client_conformance", Object.fromEntries(setups), cases);
  const good = texts.filter(({ outcome }) => outcome === "valid");
  assert.equal(valid, good.length * 2, "each is judged when it is new, and when it was seen before");
});

/** The cases that are text in Rust, judged by an example: there are no differences. */
function judge(example, verifiers, cases) {
  // Half a surrogate pair is not text in Rust, and cannot reach a verifier there.
  const texts = cases.filter(({ token = "" }) => token.isWellFormed());
  assert.ok(texts.length >= cases.length - 25, `${cases.length - texts.length} are no text`);
  const given = texts.map((one) => ({ ...one, claims: one.claims && JSON.stringify(one.claims) }));
  const input = JSON.stringify({ verifiers, cases: given });
  const { count, valid, differences } = JSON.parse(runExample(example, input));
  assert.deepEqual(differences, []);
  assert.equal(count, texts.length);
  return { texts, valid };
}

/** The rules of an issuer, with one form for each. */
function issuerOf({ audience, keys, requiredClaims = [], ...rules }) {
  const isList = Array.isArray(requiredClaims);
  return {
    ...rules, audience: audience === "unchecked" ? null : [audience].flat(), keys: JSON.stringify(keys),
    requiredClaims: isList && requiredClaims.length > 0 ? requiredClaims : undefined,
    requiredValues: isList ? {} : Object.fromEntries(Object.entries(requiredClaims).map(([name, one]) => [name, [one].flat()])),
  };
}
