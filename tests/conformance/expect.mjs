// The tests of one runtime: `run` hands the data over and brings the answer back.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ROOT } from "../support/fixture.mjs";
import { makeCases } from "./cases.mjs";
import { COUNTS } from "./wycheproof.mjs";

/** @param {string} runtime @param {(data: object) => Promise<any>} run */
export function expectConformance(runtime, run) {
  // V02, V06, V08, V16, E11: the same verdict for the same token in every runtime.
  test(`every case gets its verdict in ${runtime}`, async () => {
    const cases = await makeCases();
    const { count, differences } = await run({ cases });
    assert.deepEqual(differences, []);
    assert.ok(count >= 2000, `${count} cases`);
  });

  // V01, V15, V19
  test(`outside vectors are judged in ${runtime} as they are labelled`, async (context) => {
    const vectors = readVectors();
    if (vectors === undefined) {
      context.diagnostic("MISSING: no Wycheproof files; set OFFSWITCH_VECTORS to their folder");
      return context.skip("no Wycheproof files");
    }
    const { counts, differences, highS } = await run({ vectors });
    assert.deepEqual(differences, []);
    assert.deepEqual(counts, COUNTS);
    assert.equal(highS, 70, "high-S signatures are valid JWS");
  });
}

function readVectors() {
  const folder = process.env.OFFSWITCH_VECTORS ?? `${ROOT}../shared/vectors/wycheproof`;
  try {
    const read = (name) => [name, JSON.parse(readFileSync(`${folder}/${name}`, "utf8"))];
    return Object.fromEntries(Object.keys(COUNTS).map(read));
  } catch {
    return undefined;
  }
}
