// Processes with a wrong clock, by libfaketime. Its library alone: the program `faketime` leaves a semaphore behind
// for each process that is killed.

import { spawnSync } from "node:child_process";

const printed = spawnSync("faketime", ["-f", "+0d", "env"], { encoding: "utf8" }).stdout ?? "";
const library = /^LD_PRELOAD=(.*)$/m.exec(printed)?.[1];

/** Why tests with a wrong clock are skipped, or `false`. Linux distributions and Homebrew have faketime. */
export const withoutFaketime = library === undefined && "faketime is not installed";

/**
 * The environment of a process with another clock. Its timers run as always.
 *
 * @param {string} clock how far the clock is wrong, such as `-10m`, or where it is fixed: `2026-01-01 00:00:00`, in UTC
 */
export function fakedClock(clock) {
  if (library === undefined) throw new Error("faketime is not installed");
  return { LD_PRELOAD: library, FAKETIME: clock, FAKETIME_DONT_FAKE_MONOTONIC: "1", DONT_FAKE_MONOTONIC: "1", TZ: "UTC" };
}
