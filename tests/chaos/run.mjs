// Puts real control planes under load, causes faults and checks the recorded history against the
// rules. `node tests/chaos/run.mjs --help` lists its options.

import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chance, upTo } from "../support/chance.mjs";
import { readHistory, writeHistory } from "./history.mjs";
import { pause } from "./load.mjs";
import { FileLengths, demote, loseSeconds } from "./losses.mjs";
import { NEMESES, impossible } from "./nemeses/index.mjs";
import { figures, report } from "./report.mjs";
import { isInRoom, openRoom, runInRoom } from "./room.mjs";
import { Scene } from "./scene.mjs";
import { schedule, textOf, timesWithin } from "./schedule.mjs";
import { SYSTEMS } from "./systems/index.mjs";

const DEMOTED_SECONDS = 72;
/** To start it, and to judge all its tokens at the end. */
const SECONDS_FOR_EACH_SYSTEM = 15;
const HELP = `node tests/chaos/run.mjs [options]
  --rounds N      how often the store loses its last two seconds while everything restarts, 20
  --seed N        of all random choices, 1; the timing of the machine is not repeated
  --no-demotion   leaves out the primary that is demoted in place, which takes 75 s
  --forget        the control planes lose their own files, too: violations are expected
  --nemeses LIST  instead of all that: these faults, in random order, for --seconds; "all" or of
                  ${Object.keys(NEMESES).join(",")}
  --seconds N     with --nemeses: about how long, 600
  --times N       with --nemeses: how often each of them happens, instead of --seconds
  --plan          with --nemeses: only prints what would happen when
  --wait-replicas N  behind sentinels: for how many replicas a revocation waits, 0
  --stagger       the processes are killed at different moments: one publishes entries that only it knows
  --check FILE    only checks a saved history`;

const options = /** @type {const} */ ({
  check: { type: "string" },
  forget: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
  nemeses: { type: "string" },
  "no-demotion": { type: "boolean", default: false },
  plan: { type: "boolean", default: false },
  rounds: { type: "string", default: "20" },
  seconds: { type: "string", default: "600" },
  seed: { type: "string", default: "1" },
  stagger: { type: "boolean", default: false },
  times: { type: "string" },
  "wait-replicas": { type: "string", default: "0" },
});
const { values } = parseArgs({ options });
const [rounds, seed, seconds, times, waitReplicas] =
  [values.rounds, values.seed, values.seconds, values.times ?? 1, values["wait-replicas"]].map(Number);
const nemeses = values.nemeses === "all" ? Object.keys(NEMESES) : values.nemeses?.split(",") ?? [];
const isUnknown = nemeses.some((name) => !Object.hasOwn(NEMESES, name));
const isCount = (/** @type {number} */ value) => Number.isSafeInteger(value) && value >= 0;
if (values.help || isUnknown || ![rounds, seed, seconds, times, waitReplicas].every(isCount)) {
  console.log(HELP);
  process.exit(values.help ? 0 : 2);
}
if (values.check) process.exit(report(await readHistory(values.check)) ? 1 : 0);
// The whole plan, also of what this machine cannot do: one seed, one plan.
const often = values.times === undefined ? timesWithin(nemeses, seconds) : times;
const plan = schedule(seed, nemeses, often);
if (values.plan) {
  console.log(textOf(plan));
  process.exit(0);
}
if (!isInRoom) {
  const code = await runInRoom();
  if (code !== undefined) process.exit(code);
} else {
  openRoom();
}

const folder = mkdtempSync(join(tmpdir(), "offswitch-chaos-"));
/** @type {Scene[]} */
const scenes = [];
let isKept = true;
let isEnding = false;
process.on("exit", () => {
  for (const { system } of scenes) system.stop();
  rmSync(isKept ? join(folder, "data") : folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void ended(new Error(signal)));
const starts = plan.length * SECONDS_FOR_EACH_SYSTEM;
const planned = nemeses.length > 0 ? plan.reduce((sum, one) => sum + one.seconds, starts) : rounds * 15 + 90;
const limit = Math.ceil(planned * 1.3) + 30;
console.log(`seed ${seed}; logs and histories: ${folder}`);
console.log(`this takes about ${Math.ceil(planned / 60)} minutes, and ends after ${(limit / 60).toFixed(1)} in any case`);
setTimeout(() => void ended(new Error("the run takes too long")), limit * 1000).unref();
await (nemeses.length > 0 ? strikeAll() : loseAndDemote()).then(() => ended(), ended);

/** One system after the other, each with its faults. */
async function strikeAll() {
  console.log(textOf(plan));
  const not = impossible(nemeses);
  if (not.length > 0) console.log(`left out, because this machine cannot do that: ${not.join(", ")}`);
  for (const one of plan) {
    const steps = one.steps.filter(({ name }) => !not.includes(name));
    if (steps.length === 0) continue;
    console.log(`\n${one.on}`);
    const scene = await start(one.on, "always");
    await scene.begin();
    await scene.play({ ...one, steps }, values.times === undefined);
    await scene.end();
    scene.system.stop();
  }
}

/** Rounds in which the store loses its last seconds, then a demotion. */
async function loseAndDemote() {
  // The load draws numbers as fast as it is answered: the faults have their own.
  const random = chance(seed);
  const scene = await start("one-server", "everysec");
  const { history, system } = scene;
  await scene.begin();
  const lengths = new FileLengths(system.redis);
  for (let round = 1; round <= rounds; round += 1) {
    await pause(3000 + upTo(random, 2000));
    const appendfsync = round % 2 === 0 ? "everysec" : "always";
    const how = { appendfsync, forgets: values.forget, staggers: values.stagger };
    history.faults.push(await loseSeconds(system, lengths, random, how));
    await scene.judge();
    console.log(`round ${round}: ${figures(history)}`);
  }
  if (!values["no-demotion"]) {
    history.faults.push(await demote(system, DEMOTED_SECONDS));
    console.log(`demotion: ${figures(history)}`);
  }
  lengths.stop();
  await scene.end();
}

/**
 * Starts a system in a folder of its own.
 *
 * @param {import("./nemeses/index.mjs").Nemesis["on"]} on @param {"always" | "everysec"} appendfsync
 */
async function start(on, appendfsync) {
  const scene = new Scene(new SYSTEMS[on](), seed);
  scenes.push(scene);
  const own = join(folder, on);
  await mkdir(own, { recursive: true });
  await scene.system.start(own, { appendfsync, waitReplicas: `${waitReplicas}` });
  return scene;
}

/** Reports how the run ended, and exits. @param {unknown} [error] */
async function ended(error) {
  if (isEnding) return;
  isEnding = true;
  const isBroken = scenes.map(({ history }) => report(history)).some(Boolean);
  if (error !== undefined) console.error("The run did not complete:", error);
  isKept = error !== undefined || isBroken;
  if (isKept) {
    for (const [at, { history }] of scenes.entries()) await writeHistory(history, join(folder, `history-${at}.jsonl`));
    console.log(`kept: ${folder}`);
  }
  process.exit(error === undefined && isBroken === values.forget ? 0 : 1);
}
