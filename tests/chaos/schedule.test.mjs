// What happens in a run, and when, comes from its seed alone.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NEMESES } from "./nemeses/index.mjs";
import { schedule, textOf, timesWithin } from "./schedule.mjs";

const ALL = Object.keys(NEMESES);

// T03, T05: two processes with one seed plan the same, to the millisecond; another seed plans something else.
test("a seed gives the same faults, targets and times again", () => {
  const run = fileURLToPath(new URL("run.mjs", import.meta.url));
  const planOf = (seed) => {
    const { status, stdout } = spawnSync(process.execPath, [run, "--nemeses", "all", "--plan", "--seed", seed]);
    assert.equal(status, 0);
    return String(stdout);
  };
  const first = planOf("7");
  assert.match(first, /one-server, \d+ s:\n +\d+\.\d{3} s {2}\S+ \{/);
  assert.equal(planOf("7"), first);
  assert.notEqual(planOf("8"), first);
});

test("each fault happens as often as asked, one after the other", () => {
  for (const seed of [1, 2, 3]) {
    const scenes = schedule(seed, ALL, 3);
    const steps = scenes.flatMap((scene) => scene.steps);
    for (const name of ALL) assert.equal(steps.filter((step) => step.name === name).length, 3, name);
    for (const { on, seconds, steps: own } of scenes) {
      assert.ok(own.every(({ name }) => NEMESES[name].on === on));
      for (const [nth, { at, name }] of own.entries()) {
        assert.ok(at + NEMESES[name].seconds <= (own[nth + 1]?.at ?? seconds), textOf(scenes));
      }
    }
  }
});

test("all faults that fit into ten minutes are planned for ten minutes", () => {
  const planned = schedule(1, ALL, timesWithin(ALL, 600)).reduce((sum, { seconds }) => sum + seconds, 0);
  assert.ok(planned > 300 && planned < 620, `${planned} s`);
});
