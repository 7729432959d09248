// Runs tasks in the Node, Deno or Bun that started it, and prints the nanoseconds per call of each round as JSON.

import { createVerifier as fastJwt } from "fast-jwt";
import * as offswitch from "offswitch";
import { readInput } from "../support/runtimes.mjs";
import { takeTurns } from "./clock.mjs";
import { readMaterial } from "./material.mjs";
import { makeTasks } from "./tasks.mjs";

const { folder, groups } = await readInput();
const tasks = makeTasks(offswitch, readMaterial(folder), {
  fastJwt,
  bytes: (token) => Buffer.from(token),
  text: (bytes) => bytes.latin1Slice(0, bytes.length),
});
const results = {};
for (const { calls, rounds } of groups) {
  const timed = (name) => async (count) => {
    const began = performance.now();
    await tasks[name](count);
    return performance.now() - began;
  };
  const contestants = Object.fromEntries(Object.keys(calls).map((name) => [name, timed(name)]));
  Object.assign(results, await takeTurns(contestants, { calls, rounds }));
}
console.log(JSON.stringify(results));
process.exit(0);
