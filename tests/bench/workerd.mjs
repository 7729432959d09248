// Runs tasks in workerd and measures the time here, minus the cost of a request that runs no task.

import { readFileSync } from "node:fs";
import { build } from "esbuild";
import { startWorkerd } from "../support/workerd.mjs";
import { ROOT } from "../support/fixture.mjs";
import { takeTurns } from "./clock.mjs";

/** @param {string} folder of the material @param {{ calls: Record<string, number>, rounds: number }[]} groups */
export async function runInWorkerd(folder, groups) {
  // In the repository's folder, where the imported modules are found.
  const script = "target/bench/workerd-entry.mjs";
  await build({
    entryPoints: [`${ROOT}tests/bench/workerd-entry.mjs`], outfile: ROOT + script,
    bundle: true, format: "esm", conditions: ["workerd"], external: ["*.wasm"], logLevel: "error",
    plugins: [{
      name: "wasm next to the package",
      setup: ({ onResolve }) => onResolve({ filter: /\.wasm$/ }, () => ({
        path: "../../verifier-wasm/pkg/offswitch_bg.wasm", external: true,
      })),
    }],
  });
  const workerd = await startWorkerd(script);
  const send = async (path, how) => {
    const response = await fetch(workerd.url + path, how);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${text}`);
  };
  const run = async (task, count) => {
    const began = performance.now();
    await send(`/run?task=${encodeURIComponent(task)}&count=${count}`);
    return performance.now() - began;
  };
  try {
    await send("/material", { method: "POST", body: readFileSync(`${folder}/material.json`) });
    for (const name of ["base", "empty"]) {
      await send(`/${name}`, { method: "PUT", body: readFileSync(`${folder}/${name}.bin`) });
    }
    const results = {};
    for (const { calls, rounds } of groups) {
      const contestants = Object.fromEntries(Object.keys(calls).map((name) => [
        name, async (count) => (await run(name, count)) - (await run(name, 0)),
      ]));
      Object.assign(results, await takeTurns(contestants, { calls, rounds }));
    }
    return results;
  } finally {
    await workerd.close();
  }
}
