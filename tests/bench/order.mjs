// What `cargo xtask bench` asks of a program that measures, and how the program answers: sections of figures as JSON.

import { median } from "./clock.mjs";

/**
 * The numbers of the run (xtask/src/bench/scale.rs), and whether a contest is to be run: all of them, or those whose
 * figures were unsteady.
 *
 * @returns {{ scale: any, isAsked: (contest: string) => boolean }}
 */
export function readOrder() {
  const text = process.argv[2];
  if (text === undefined) throw new Error("run by `cargo xtask bench`, which passes how much to measure");
  const { scale, only } = JSON.parse(text);
  return { scale, isAsked: (contest) => only.length === 0 || only.includes(contest) };
}

/** A section of BENCHMARKS.md; undefined without figures, which is left out when only some contests are run. */
export const section = (title, about, head, figures) => (figures.length === 0 ? undefined : { title, about, head, figures });

/**
 * A figure, which may have a goal: `{ least: 8 }` or `{ most: 1.1 }`.
 *
 * @param {string} contest what is run again if it is unsteady @param {string[]} what the columns that name it
 * @param {"nanoseconds" | "per_second" | "ratio" | "share" | "times" | "bytes"} unit @param {number[]} rounds
 * @param {string[]} more the other columns @param {object} [goal]
 */
export const figure = (contest, what, unit, rounds, more, goal) => ({ contest, what, unit, rounds, more, goal });

/** One of two contestants divided by the other, round by round. */
export const ratios = (ours, theirs) => ours.map((one, round) => one / theirs[round]);

export const ns = (rounds) => `${Math.round(median(rounds))} ns`;
export const us = (rounds) => `${(median(rounds) / 1000).toFixed(median(rounds) < 20_000 ? 1 : 0)} µs`;
export const rate = (rounds) => `${Math.round(median(rounds)).toLocaleString("en")}/s`;
