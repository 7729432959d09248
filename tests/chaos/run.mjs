// Puts real control planes under load, causes faults and checks the recorded history against the
// rules. `node tests/chaos/run.mjs --help` lists its options.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chance, shuffled, upTo } from "../support/chance.mjs";
import { until } from "../support/feed.mjs";
import { lostUnpublished, missingForAMoment, undecidedAfter, violations } from "./checker.mjs";
import { NEMESES, strike } from "./nemeses.mjs";
import { FileLengths, demote, loseSeconds } from "./faults.mjs";
import { startFollower } from "./followers.mjs";
import { compare, emptyHistory, readHistory, writeHistory } from "./history.mjs";
import { Load, pause } from "./load.mjs";
import { System } from "./system.mjs";

const PLANES = 3;
const WRITERS = 4;
/** @type {("poll" | "stream")[]} */
const HOW = ["poll", "stream"];
const DEMOTED_SECONDS = 72;
/** With `--nemeses`: faults between two complete looks at the new tokens. */
const JUDGED_EVERY = 7;
const CAUGHT_UP_WITHIN_SECONDS = 60;
/** Violations of one rule that are printed. */
const SHOWN = 3;
const HELP = `node tests/chaos/run.mjs [options]
  --rounds N      how often the store loses its last two seconds while everything restarts, 20
  --seed N        of all random choices, 1; the timing of the machine is not repeated
  --no-demotion   leaves out the primary that is demoted in place, which takes 75 s
  --forget        the control planes lose their own files, too: violations are expected
  --nemeses LIST  instead of all that: these faults, in random order, for --seconds; "all" or of
                  clock,cut,flush,freeze,kill,older,slow
  --seconds N     with --nemeses: how long, 300
  --stagger       the processes are killed at different moments: one publishes entries that only it knows
  --check FILE    only checks a saved history`;

const options = /** @type {const} */ ({
  check: { type: "string" },
  forget: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
  nemeses: { type: "string" },
  "no-demotion": { type: "boolean", default: false },
  rounds: { type: "string", default: "20" },
  seconds: { type: "string", default: "300" },
  seed: { type: "string", default: "1" },
  stagger: { type: "boolean", default: false },
});
const { values } = parseArgs({ options });
const [rounds, seed, seconds] = [values.rounds, values.seed, values.seconds].map(Number);
const nemeses = values.nemeses === "all" ? Object.keys(NEMESES) : values.nemeses?.split(",") ?? [];
const isUnknown = nemeses.some((name) => !Object.hasOwn(NEMESES, name));
if (values.help || isUnknown || ![rounds, seed, seconds].every((value) => Number.isSafeInteger(value) && value >= 0)) {
  console.log(HELP);
  process.exit(values.help ? 0 : 2);
}
if (values.check) process.exit(report(await readHistory(values.check)) ? 1 : 0);

const folder = mkdtempSync(join(tmpdir(), "offswitch-chaos-"));
const history = emptyHistory();
const system = new System();
let isKept = true;
process.on("exit", () => {
  system.stop();
  rmSync(isKept ? join(folder, "data") : folder, { recursive: true, force: true, maxRetries: 5 });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => void ended(new Error(signal)));
setTimeout(() => void ended(new Error("the run takes too long")), (300 + (nemeses.length > 0 ? seconds : rounds * 60)) * 1000).unref();
await run().then(() => ended(), ended);

async function run() {
  const random = chance(seed);
  console.log(`seed ${seed}, ${rounds} rounds, ${PLANES} control planes; logs and history: ${folder}`);
  await system.start(folder, PLANES);
  const load = new Load(system, history, random);
  for (const plane of system.planes) {
    for (const how of HOW) {
      load.followers.push(await startFollower(system, history, `${plane.name}-${how}`, [plane], how));
    }
  }
  load.followers.push(await startFollower(system, history, "several", system.planes, "poll"));
  load.start(WRITERS);
  await (nemeses.length > 0 ? strikeFor(load) : loseAndDemote(load, random));
  await judgeAgain(load, "fresh-last", range(0, load.tokens));
  await load.stop();
  console.log(`answers other than success: ${JSON.stringify(load.refusals)}`);
  for (const { verifier } of load.followers) verifier.close();
}

/** Lets the chosen faults happen, each as often as the others, until the time is over. */
async function strikeFor(load) {
  // The load draws numbers as fast as it is answered: the faults have their own.
  const random = chance(seed);
  const until = Date.now() + seconds * 1000;
  await system.redis.command("CONFIG SET appendfsync always");
  let known = 0;
  let count = 0;
  while (Date.now() < until) {
    for (const name of shuffled(nemeses, random)) {
      if (Date.now() >= until) break;
      await pause(nemeses.length === 1 ? 200 : 1000 + upTo(random, 1000));
      history.faults.push(await strike(name, system, random));
      count += 1;
      if (nemeses.length > 1) console.log(`${name}: ${figures(history)}`);
      if (count % JUDGED_EVERY === 0) {
        await judgeAgain(load, `fresh-${count}`, range(known, load.tokens));
        known = load.tokens;
      }
    }
  }
}

/** Rounds in which the store loses its last seconds, then a demotion. */
async function loseAndDemote(load, random) {
  const lengths = new FileLengths(system.redis);
  for (let round = 1; round <= rounds; round += 1) {
    const known = load.tokens;
    await pause(3000 + upTo(random, 2000));
    const appendfsync = round % 2 === 0 ? "everysec" : "always";
    const how = { appendfsync, forgets: values.forget, staggers: values.stagger };
    const fault = await loseSeconds(system, lengths, random, how);
    history.faults.push(fault);
    await judgeAgain(load, `fresh-${round}`, range(known, load.tokens));
    console.log(`round ${round}: ${figures(history)}`);
  }
  if (!values["no-demotion"]) {
    const fault = await demote(system, DEMOTED_SECONDS);
    history.faults.push(fault);
    console.log(`demotion: ${figures(history)}`);
  }
  lengths.stop();
}

/** Waits until every verifier, and one more that starts now, has the current position of its control plane. */
async function judgeAgain(load, name, tokens) {
  const [plane] = system.planes;
  const { position } = await (await fetch(`${plane.url}/readyz`)).json();
  const isThere = ({ verifier }) => compare(verifier.status().position ?? "0.0", position) >= 0;
  if (!await until(() => load.followers.every(isThere), CAUGHT_UP_WITHIN_SECONDS)) {
    const late = load.followers.filter((one) => !isThere(one)).map((one) => one.name);
    throw new Error(`${late.join(", ")} did not catch up with ${position}`);
  }
  const fresh = await startFollower(system, history, name, [plane], "poll");
  await load.sweep([...load.followers, fresh], tokens);
  fresh.verifier.close();
}

/** Reports how the run ended, and exits. @param {unknown} [error] */
async function ended(error) {
  const isBroken = report(history);
  if (error !== undefined) console.error("The run did not complete:", error);
  isKept = error !== undefined || isBroken;
  if (isKept) {
    await writeHistory(history, join(folder, "history.jsonl"));
    console.log(`kept: ${folder}`);
  }
  process.exit(error === undefined && isBroken === values.forget ? 0 : 1);
}

/** Prints the figures and the violations; true if there are any. @param {import("./history.mjs").History} history */
function report(history) {
  console.log(`\n${figures(history)}`);
  for (const { verifier, seconds } of undecidedAfter(history)) {
    console.log(`undecided ${seconds.toFixed(1)} s after the demotion: ${verifier}`);
  }
  const { bases, verdicts } = missingForAMoment(history);
  console.log(`before the only process that had published some entries had started: ${bases} bases without it, `
    + `${verdicts} verdicts that its tokens are valid`);
  const found = violations(history);
  const counts = {};
  for (const { rule, text, evidence } of found) {
    counts[rule] = (counts[rule] ?? 0) + 1;
    if (counts[rule] > SHOWN) continue;
    console.log(`VIOLATED: ${rule}: ${text}`);
    for (const one of evidence) console.log(`  ${JSON.stringify(one)}`);
  }
  console.log(found.length === 0 ? "Every rule held." : `violations: ${JSON.stringify(counts)}`);
  return found.length > 0;
}

/** @param {import("./history.mjs").History} history */
function figures(history) {
  const { faults, received, revocations, tokens, verdicts } = history;
  const acknowledged = revocations.filter(({ outcome }) => outcome === "acknowledged");
  const levels = ["written", "synced"].map((one) =>
    `${acknowledged.filter(({ level }) => level === one).length} ${one}`);
  const of = (/** @type {string} */ one) => verdicts.filter(({ outcome }) => outcome === one).length;
  const killed = faults.reduce((sum, one) => sum + (one.killed ?? 0), 0);
  return `${faults.length} faults, ${killed} processes killed, ${tokens.length} tokens, ${acknowledged.length} revocations acknowledged `
    + `(${levels.join(", ")}), ${lostUnpublished(history)} of them lost unpublished, `
    + `${received.length} snapshots received, verdicts: ${of("valid")} valid, ${of("refused")} refused, `
    + `${of("undecided")} undecided`;
}

/** @param {number} from @param {number} to */
function range(from, to) {
  return Array.from({ length: to - from }, (_, at) => from + at);
}
