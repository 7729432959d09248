// The tests of one framework: `run` serves the routes, sends every case and returns the answers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CASES, served, unauthorized, unavailable } from "./cases.mjs";
import { prepare } from "./given.mjs";
import { PROOF_CASES, again } from "./proofs.mjs";

/**
 * @param {string} framework
 * @param {(given: any) => Promise<ReturnType<typeof import("./ask.mjs").askAll>>} run
 */
export function expectAnswers(framework, run) {
  describe(`behind ${framework}`, () => {
    let control;
    let seen;
    before(async () => {
      control = await prepare();
      seen = await run(control.given);
    });
    after(() => control.close());

    for (const [name, [, , expected]] of Object.entries(CASES)) {
      test(name, () => check(seen.answers[name], expected));
    }

    // I14
    for (const [name, [, , expected]] of Object.entries(PROOF_CASES)) {
      test(name, () => {
        check(seen.proved[name].first, expected);
        check(seen.proved[name].again, again(expected));
      });
    }

    // After a red button every client wants a new token: the answers spread the retries.
    test("after a mass event the answers have different retry times", () => {
      assert.ok(new Set(seen.spread).size > 1, String(seen.spread));
      for (const one of seen.spread) checkWithin(one, [1, 3600]);
    });

    // E02: the process is not restarted, and gets no signal that the control plane is there.
    test("a route is undecided until the control plane is there, then it serves", () => {
      check(seen.late.first, unavailable("no_keys"));
      check(seen.late.last, served());
    });

    test("a token that is revoked while the server runs is refused from then on", () => {
      check(seen.going.first, served());
      check(seen.going.last, unauthorized("revoked_token"));
    });
  });
}

function check({ status, headers, text }, { json, ...expected }) {
  assert.equal(status, expected.status, text);
  if (status === 200 && json === undefined) return assert.equal(text, "");
  if (json !== undefined) return assert.deepEqual(JSON.parse(text), json);
  assert.equal(headers["www-authenticate"], expected.challenge);
  assert.equal(headers["cache-control"], "no-store");
  assert.match(headers["content-type"], /^application\/problem\+json(; ?charset=utf-8)?$/);
  checkWithin(headers["retry-after"], expected.retryAfter);
  if (expected.code === undefined) return assert.equal(text, "");
  const { detail, ...document } = JSON.parse(text);
  const { code, title } = expected;
  assert.deepEqual(document, { type: `urn:offswitch:problem:${code}`, title, status, code });
  assert.ok(typeof detail === "string" && detail !== "");
}

/** @param {string | undefined} seconds @param {[number, number] | undefined} limits */
function checkWithin(seconds, limits) {
  if (limits === undefined) return assert.equal(seconds, undefined);
  const [least, most] = limits;
  assert.match(seconds, /^[0-9]+$/);
  assert.ok(Number(seconds) >= least && Number(seconds) <= most, seconds);
}
