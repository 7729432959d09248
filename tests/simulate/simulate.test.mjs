// The simulation itself, with a few hundred isolates: its stated bounds hold, and it would notice if they did not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { SCENARIOS } from "./scenarios.mjs";
import { HARD_BOUND_SECONDS, boundOf, simulate } from "./simulation.mjs";
import { REQUESTS_OF_A_CACHE, violations } from "./verdicts.mjs";

const SIZE = { isolates: 200, presences: 10, seed: 7 };
const scenarioOf = (number) => SCENARIOS.find(({ name }) => name.startsWith(number));

// S15: polling through a cache is late by the poll, the cache and the path, and by nothing else.
test("behind a cache no isolate accepts a revoked token for longer than stated", async () => {
  const scenario = scenarioOf("2");
  const results = await simulate(scenario, SIZE);
  const [result] = results;
  assert.deepEqual(violations(scenario, results, SIZE), []);
  assert.ok(result.refused.all <= boundOf(scenario), `${result.refused.all} s`);
  assert.ok(result.longestAccepted > 1, "no isolate accepted it, so nothing was tested");
});

// S14: the caches get the requests of the isolates; the origin only gets those of the caches.
test("four times the isolates behind the same caches are no more load for the origin", async () => {
  const scenario = scenarioOf("2");
  const [few] = await simulate(scenario, { ...SIZE, isolates: 100 });
  const [many] = await simulate(scenario, { ...SIZE, isolates: 400 });
  assert.ok(many.cacheRequestsPerSecond > 3.5 * few.cacheRequestsPerSecond);
  const most = SIZE.presences * REQUESTS_OF_A_CACHE;
  assert.ok(many.peakPerSecond <= most, `${many.peakPerSecond} requests in a second`);
  assert.ok(many.requestsPerSecond < 1.5 * few.requestsPerSecond);
});

// P06, S15: readers of a head need the store and the caches, and neither knows how many they are.
test("four times the isolates that read a head are no more load for the store", async () => {
  const scenario = scenarioOf("7");
  const [few] = await simulate(scenario, { ...SIZE, isolates: 100 });
  const [many] = await simulate(scenario, { ...SIZE, isolates: 400 });
  assert.deepEqual(violations(scenario, [many], { ...SIZE, isolates: 400 }), []);
  assert.ok(many.refused.all <= boundOf(scenario), `${many.refused.all} s`);
  const most = SIZE.presences * REQUESTS_OF_A_CACHE;
  assert.ok(many.peakPerSecond <= most, `${many.peakPerSecond} requests in a second`);
  assert.ok(many.requestsPerSecond < 1.2 * few.requestsPerSecond);
  assert.ok(many.bytesPerSecond < 1.2 * few.bytesPerSecond);
});

// T03: a run can be repeated by its seed.
test("the same seed gives the same run, and another seed another", async () => {
  const scenario = { ...scenarioOf("3"), seconds: 45 };
  const small = { ...SIZE, isolates: 60, presences: 5 };
  const runs = [];
  for (const seed of [7, 7, 8]) runs.push(await simulate(scenario, { ...small, seed }));
  assert.deepEqual(runs[0], runs[1]);
  assert.notEqual(runs[0][0].trace, runs[2][0].trace);
});

// The stand-ins must behave like real verifiers, during changes of the era and losses too.
for (const number of ["3", "5b", "6", "7", "9"]) {
  test(`stand-ins behave like real verifiers: ${scenarioOf(number).name}`, async () => {
    // In 6, one of these 60 gets a delta by two long polls, while one request takes over from another.
    const small = number === "6" ? { isolates: 60, presences: 3, seed: 1 } : { isolates: 20, presences: 3, seed: 7 };
    const scenario = scenarioOf(number);
    const standIn = await simulate(scenario, small);
    const real = await simulate(scenario, { ...small, isReal: true });
    assert.ok(real[0].events > 1000);
    assert.deepEqual(real, standIn);
  });
}

// P07: the freshness of each feed is its own, by real verifiers and by stand-ins under the package's `combine`.
test("an outage of one cell leaves the tokens of that cell undecided, and no others", async () => {
  const scenario = scenarioOf("11");
  const small = { isolates: 10, presences: 2, seed: 7 };
  const standIns = await simulate(scenario, small);
  const real = await simulate(scenario, { ...small, isReal: true });
  assert.deepEqual(real, standIns);
  assert.deepEqual(violations(scenario, real, small), []);
  assert.deepEqual(real.map(({ undecided }) => undecided.isolates), [0, small.isolates, 0]);
  for (const { events, watched } of real) assert.ok(events > 1000 && watched > 0);
});

// P07, S14: each cell's origin gets the requests of the caches for its own feed.
test("four times the isolates that follow three feeds are no more load for any of the origins", async () => {
  const scenario = scenarioOf("10");
  const [few, many] = [30, 120].map((isolates) => ({ isolates, presences: 3, seed: 7 }));
  const [before, after] = [await simulate(scenario, few), await simulate(scenario, many)];
  assert.deepEqual(violations(scenario, after, many), []);
  after.forEach(({ bytesPerSecond, cacheRequestsPerSecond, requestsPerSecond }, nth) => {
    assert.ok(cacheRequestsPerSecond > 3.5 * before[nth].cacheRequestsPerSecond);
    assert.ok(requestsPerSecond < 1.5 * before[nth].requestsPerSecond);
    assert.ok(bytesPerSecond < 1.5 * before[nth].bytesPerSecond);
  });
});

// E01, S15: after valid_until every isolate is undecided, and none for longer than the longest pause.
test("a long outage of the publisher leaves every isolate undecided, and none after it", async () => {
  const scenario = scenarioOf("5b");
  const small = { ...SIZE, isolates: 100 };
  const results = await simulate(scenario, small);
  const [result] = results;
  assert.deepEqual(violations(scenario, results, small), []);
  assert.equal(result.undecided.isolates, small.isolates);
  assert.ok(result.longestAccepted > 55 && result.longestAccepted <= HARD_BOUND_SECONDS);
});

// A bound that cannot be broken proves nothing: this cache keeps its answers for too long.
test("a cache that keeps answers longer than stated is noticed", async () => {
  const scenario = scenarioOf("2");
  const late = { ...scenario, cache: { ...scenario.cache, ttl: 6 } };
  const results = await simulate(late, SIZE);
  const found = violations(scenario, results, SIZE);
  assert.ok(found.some((text) => text.includes("accepted")), found.join());
});

// The same of an outage: it makes tokens of the wrong cell undecided, and none of its own.
test("an outage that takes effect in another cell is noticed", async () => {
  const scenario = scenarioOf("11");
  const small = { isolates: 10, presences: 2, seed: 7 };
  const [first, second, third] = scenario.cells;
  const results = await simulate({ ...scenario, cells: [second, first, third] }, small);
  const found = violations(scenario, results, small).join("\n");
  assert.match(found, /cell 1: 10 isolates were undecided/);
  assert.match(found, /cell 2: only 0 isolates were undecided/);
  assert.doesNotMatch(found, /cell 3/);
});
