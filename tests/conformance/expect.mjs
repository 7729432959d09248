// The tests of one runtime: `run` passes it the data and returns its answer.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ALGORITHMS, ASYMMETRIC } from "./algorithms.mjs";
import { makeCases } from "./cases.mjs";
import { AFTER_FAILURES, makeFailures } from "./expected-failures.mjs";
import { readVectors } from "./vectors.mjs";
import { COUNTS, HIGH_S, OURS } from "./wycheproof.mjs";

/** The same cases for all runtimes of one test file. */
let made;
export const theCases = () => (made ??= makeCases());

/**
 * @param {string} runtime @param {(data: object) => Promise<any>} run
 * @param {{ hosts?: string[] }} [has] the hosts in addition to WebCrypto
 */
export function expectConformance(runtime, run, { hosts = [] } = {}) {
  const allHosts = ["WebCrypto", ...hosts];

  // E11, V15, V17 and all ids of the cases: the same verdict for the same token in every runtime,
  // whichever host checks its signature and whether the token was seen before or not.
  test(`every case gets its verdict in ${runtime}`, LIMIT, async (context) => {
    const { verifiers, cases } = theCases();
    const { chosen, passes } = await run({ cases: { verifiers, cases } });
    const forced = allHosts.map((host) => `${host} for all`);
    const paths = ["wasm alone", "the loader's host", "remembered", ...forced];
    assert.deepEqual(passes.map(({ name }) => name), paths);
    const differences = passes.flatMap((pass) =>
      pass.differences.map((one) => ({ path: pass.name, ...one })));
    assert.deepEqual(differences, []);
    const valid = cases.filter(({ outcome }) => outcome === "valid").length;
    atLeast(10_000, cases.length, "cases");
    atLeast(1000, valid, "valid tokens");
    for (const pass of passes) {
      assert.deepEqual([pass.count, pass.valid], [cases.length, valid], pass.name);
      assert.equal(pass.remembered, pass.name === "remembered" ? valid : 0);
    }
    atLeast(1, chosen.length, "algorithms that the loader gives to a host");
    allHosts.forEach((host, index) => {
      const { checks } = passes[3 + index];
      for (const alg of ASYMMETRIC) atLeast(50, checks[alg], `${host}: signatures of ${alg}`);
    });
    context.diagnostic(`${cases.length} cases on ${passes.length} paths; by the host: ${chosen}`);
  });

  // V01, V15, V19
  test(`external vectors are judged in ${runtime} as they are labelled`, LIMIT, async (context) => {
    const vectors = readVectors();
    if (vectors === undefined) {
      context.diagnostic("MISSING: no Wycheproof files; set OFFSWITCH_VECTORS to their folder");
      return context.skip("no Wycheproof files");
    }
    const missing = Object.keys(COUNTS).filter((file) => !(file in vectors));
    for (const file of missing) context.diagnostic(`MISSING: ${file} of Wycheproof`);
    const present = (counts) =>
      Object.fromEntries(Object.entries(counts).filter(([file]) => !missing.includes(file)));
    const found = await run({ vectors });
    assert.deepEqual(Object.keys(found), ["wasm", ...allHosts]);
    for (const [name, { counts, differences, highS }] of Object.entries(found)) {
      assert.deepEqual(differences, [], name);
      assert.deepEqual(counts, { ...present(COUNTS), [OURS]: 4 }, name);
      assert.deepEqual(highS, present(HIGH_S), "high-S signatures are valid JWS");
    }
    for (const host of allHosts) {
      const { checks, laxer, unknown } = found[host];
      // Only wasm checks HMAC, with any host.
      const others = ALGORITHMS.filter((alg) => !ASYMMETRIC.includes(alg));
      assert.deepEqual(unknown.toSorted(), others.toSorted(), host);
      for (const [alg, floor] of [["EdDSA", 100], ["ES256", 250], ["RS256", 250]]) {
        atLeast(floor, checks[alg], `${host}: signatures of ${alg}`);
      }
      // If the host alone would have been more lax, it was not used: no verdict above differs.
      context.diagnostic(`${host} of ${runtime} is laxer than wasm at ${JSON.stringify(laxer)}`);
    }
  });

  // E03, V13: a trap affects only the request in which it happens.
  test(`wasm that fails in ${runtime} is replaced, or paused after repeated failures`, LIMIT, async (context) => {
    const { steps, canHoldTooMuch } = await run({ failures: makeFailures() });
    assert.deepEqual(Object.fromEntries(steps), AFTER_FAILURES);
    assert.equal(steps.length, Object.keys(AFTER_FAILURES).length);
    if (!canHoldTooMuch) context.diagnostic("no 2 GiB here; the test uses an invalid address instead");
  });
}

/** @param {number} floor @param {number} count @param {string} what */
const atLeast = (floor, count, what) => assert.ok(count >= floor, `${what}: only ${count}`);

/** A runtime that hangs is also a failure. */
const LIMIT = { timeout: 600_000 };
