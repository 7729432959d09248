// What happens when: made from the seed alone, before anything starts.

import { chance, shuffled } from "../support/chance.mjs";
import { NEMESES } from "./nemeses/index.mjs";

/**
 * @typedef {{ at: number, name: string, how: object }} Step
 * `at` is in seconds after the load has begun. A step begins later if the one before is not over.
 * @typedef {{ on: import("./nemeses/index.mjs").Nemesis["on"], seconds: number, steps: Step[] }} Scene
 * One system, and what happens to it.
 */

/**
 * Each fault happens `times` times, in random order among those that need the same system.
 *
 * @param {number} seed @param {string[]} names of faults @param {number} times @returns {Scene[]}
 */
export function schedule(seed, names, times) {
  const random = chance(seed);
  const before = () => names.length === 1 ? PAUSE_OF_ONE : PAUSE + random();
  const systems = [...new Set(Object.values(NEMESES).map(({ on }) => on))];
  return systems.flatMap((on) => {
    const own = Object.keys(NEMESES).filter((name) => names.includes(name) && NEMESES[name].on === on);
    if (own.length === 0) return [];
    const steps = [];
    let at = 0;
    for (const name of Array.from({ length: times }, () => shuffled(own, random)).flat()) {
      at += before();
      steps.push({ at: Math.round(at * 1000) / 1000, name, how: NEMESES[name].choose(random) });
      at += NEMESES[name].seconds;
    }
    return [{ on, seconds: Math.ceil(at), steps }];
  });
}

/** How often each of these faults fits into so many seconds, at least once. @param {string[]} names @param {number} seconds */
export function timesWithin(names, seconds) {
  const pause = names.length === 1 ? PAUSE_OF_ONE : PAUSE + 0.5;
  const round = names.reduce((sum, name) => sum + NEMESES[name].seconds + pause, 0);
  return Math.max(1, Math.floor(seconds / round));
}

/** One line for each step. @param {Scene[]} scenes */
export const textOf = (scenes) => scenes.flatMap(({ on, seconds, steps }) => [
  `${on}, ${seconds} s:`,
  ...steps.map(({ at, name, how }) => `  ${at.toFixed(3).padStart(8)} s  ${name} ${JSON.stringify(how)}`),
]).join("\n");

/** Between two faults, seconds. */
const PAUSE = 1;
const PAUSE_OF_ONE = 0.2;
