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
  // Half a surrogate pair is not text in Rust, and cannot reach a verifier there.
  const texts = cases.filter(({ token = "" }) => token.isWellFormed());
  assert.ok(texts.length >= cases.length - 25, `${cases.length - texts.length} are no text`);
  const given = texts.map((one) => ({ ...one, claims: one.claims && JSON.stringify(one.claims) }));
  const input = JSON.stringify({ verifiers: Object.fromEntries(setups), cases: given });
  const { count, valid, differences } = JSON.parse(runExample("conformance", input));
  assert.deepEqual(differences, []);
  assert.equal(count, texts.length);
  // Judged twice, except where the policy belongs to the request.
  const good = texts.filter(({ outcome }) => outcome === "valid");
  assert.equal(valid, good.length * 2 - good.filter(({ policy }) => policy).length);
});
