// One system under load, what happens to it, and its history.

import { chance } from "../support/chance.mjs";
import { until } from "../support/feed.mjs";
import { startFollower } from "./followers.mjs";
import { compare, emptyHistory } from "./history.mjs";
import { Load, pause } from "./load.mjs";
import { strike } from "./nemeses/index.mjs";
import { figures } from "./report.mjs";

export class Scene {
  history = emptyHistory();
  #known = 0;
  #judged = 0;

  /** @param {import("./systems/system.mjs").System} system @param {number} seed of what the load asks for */
  constructor(system, seed) {
    this.system = system;
    this.load = new Load(system, this.history, chance(seed));
  }

  /** Starts followers and load; the system has started. */
  async begin() {
    const { history, load, system } = this;
    for (const plane of system.planes) {
      for (const how of HOW) {
        load.followers.push(await startFollower(system, history, `${plane.name}-${how}`, [plane], how));
      }
    }
    if (system.planes.length > 1) {
      load.followers.push(await startFollower(system, history, "several", system.planes, "poll"));
    }
    load.start(WRITERS);
  }

  /**
   * Lets the steps happen. With `endsInTime` those that are still to come when the machine is far behind are left out.
   *
   * @param {import("./schedule.mjs").Scene} plan @param {boolean} endsInTime
   */
  async play({ steps, seconds }, endsInTime) {
    const begin = Date.now();
    const elapsed = () => (Date.now() - begin) / 1000;
    const happened = new Set();
    for (const [nth, { at, name, how }] of steps.entries()) {
      if (endsInTime && elapsed() > seconds * PATIENCE && happened.has(name)) {
        console.log(`left out, because the machine is too slow: ${steps.length - nth} steps`);
        return;
      }
      await pause(Math.max(SHORTEST_PAUSE, (at - elapsed()) * 1000));
      const fault = await strike(name, this.system, how);
      this.history.faults.push(fault);
      happened.add(name);
      console.log(`${elapsed().toFixed(1).padStart(8)} s  ${name} took ${fault.end - fault.begin} ms, ${figures(this.history)}`);
      if ((nth + 1) % JUDGED_EVERY === 0) await this.judge();
    }
  }

  /** Waits until every verifier, and one more that starts now, is as far as its control plane, and asks about all new tokens. */
  async judge() {
    await this.#ask(this.#known);
    this.#known = this.load.tokens;
  }

  /** Judges all tokens again, and ends load and followers. */
  async end() {
    await this.#ask(0);
    await this.load.stop();
    for (const { verifier } of this.load.followers) verifier.close();
  }

  /** @param {number} from the first token */
  async #ask(from) {
    const { history, load, system } = this;
    const [plane] = system.planes;
    const { position } = await (await fetch(`${plane.url}/readyz`)).json();
    const isThere = ({ verifier }) => compare(verifier.status().position ?? "0.0", position) >= 0;
    if (!await until(() => load.followers.every(isThere), CAUGHT_UP_WITHIN_SECONDS)) {
      const late = load.followers.filter((one) => !isThere(one)).map((one) => one.name);
      throw new Error(`${late.join(", ")} did not catch up with ${position}`);
    }
    this.#judged += 1;
    const fresh = await startFollower(system, history, `fresh-${this.#judged}`, [plane], "poll");
    await load.sweep([...load.followers, fresh], range(from, load.tokens));
    fresh.verifier.close();
  }
}

const WRITERS = 4;
/** @type {("poll" | "stream")[]} */
const HOW = ["poll", "stream"];
/** Faults between two complete looks at the new tokens. */
const JUDGED_EVERY = 7;
const CAUGHT_UP_WITHIN_SECONDS = 60;
/** How much longer than planned the steps may take. */
const PATIENCE = 1.15;
/** Milliseconds. */
const SHORTEST_PAUSE = 100;

/** @param {number} from @param {number} to */
function range(from, to) {
  return Array.from({ length: to - from }, (_, at) => from + at);
}
