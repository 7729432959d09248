// Processes die, do not run for a while, or have a wrong clock.

import { shuffled, upTo } from "../../support/chance.mjs";
import { pause } from "../load.mjs";
import { PLANES } from "../systems/one-server.mjs";

/** @typedef {import("./index.mjs").Nemesis} Nemesis */

const NAMES = [...Array.from({ length: PLANES }, (_, at) => `plane-${at}`), "store"];

/** @param {() => number} random */
export const anyPlane = (random) => upTo(random, PLANES);

/** One of the processes, or all of them, die and start again. @type {Nemesis} */
export const kill = {
  on: "one-server",
  seconds: 2,
  choose: (random) => ({ victims: upTo(random, 4) === 0 ? NAMES : [NAMES[upTo(random, NAMES.length)]] }),
  strike: killAndStart,
};

/** Everything dies and starts again, one after the other in some order. @type {Nemesis} */
export const restart = {
  on: "one-server",
  seconds: 5,
  choose: (random) => ({ victims: shuffled(NAMES, random) }),
  async strike(system, { victims }) {
    for (const name of victims) await system.processes[name].kill();
    // A control plane waits for its store.
    await Promise.all(victims.map((name) => system.processes[name].start()));
    return { killed: victims.length };
  },
};

/** The process with the embedded store dies and starts again. @type {Nemesis} */
export const embeddedKill = {
  on: "embedded", seconds: 2, choose: () => ({ victims: ["plane-0"] }), strike: killAndStart,
};

/** A process does not run for some seconds; its connections stay open. @type {Nemesis} */
export const freeze = {
  on: "one-server",
  seconds: 4,
  choose: (random) => ({ victim: NAMES[upTo(random, NAMES.length)], milliseconds: 500 + upTo(random, 4000) }),
  async strike(system, { victim, milliseconds }) {
    system.processes[victim].signal("SIGSTOP");
    await pause(milliseconds);
    system.processes[victim].signal("SIGCONT");
  },
};

/** A control plane's clock is ten minutes wrong. @type {Nemesis} */
export const clock = {
  on: "one-server",
  seconds: 7,
  choose: (random) => ({ plane: anyPlane(random), wrong: random() < 0.5 ? "-10m" : "+10m" }),
  async strike({ planes }, { plane, wrong }) {
    await planes[plane].kill();
    await planes[plane].start(wrong);
    await pause(3000);
    await planes[plane].kill();
    await planes[plane].start();
    return { killed: 2 };
  },
};

/** @param {import("../systems/system.mjs").System} system @param {{ victims: string[] }} how */
async function killAndStart({ processes }, { victims }) {
  await Promise.all(victims.map((name) => processes[name].kill()));
  await Promise.all(victims.map((name) => processes[name].start()));
  return { killed: victims.length };
}
