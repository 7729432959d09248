// One line of Markdown for each cell of each scenario.

import { cellsOf } from "./scenarios.mjs";
import { boundOf } from "./simulation.mjs";

const COLUMNS = [
  "scenario", "origin requests/s, mean (peak)", "caches requests/s", "origin KB/s",
  "refused by half / 99 % / all, s", "bound, s", "beyond it", "accepted at most, s",
  "oldest used, s",
  "undecided: isolates, longest, s", "decided again after, s",
];

export function heading() {
  return `| ${COLUMNS.join(" | ")} |\n|${" --- |".repeat(COLUMNS.length)}`;
}

/** @param {object} scenario @param {object[]} results of `simulate` */
export const rows = (scenario, results) => cellsOf(scenario).map((cell, nth) => row(cell, results[nth])).join("\n");

function row(scenario, result) {
  const { accepted, longestAccepted, longestAge, mostHeld, refused, undecided } = result;
  const bound = boundOf(scenario);
  const beyond = accepted.filter((after) => after > bound).length;
  const { outage } = scenario;
  const back = outage && outage.from + outage.seconds;
  const isBack = outage && undecided.isolates > 0 && undecided.last > back;
  const held = mostHeld > 0 ? `, ${mostHeld} held` : "";
  return `| ${[
    scenario.name,
    `${whole(result.requestsPerSecond)} (${whole(result.peakPerSecond)})${held}`,
    result.cacheRequestsPerSecond === undefined ? "–" : whole(result.cacheRequestsPerSecond),
    fine(result.bytesPerSecond / 1000),
    [refused.half, refused.most, refused.all].map(fine).join(" / "),
    fine(bound),
    beyond === 0 ? "none" : percent(beyond / result.judged),
    fine(longestAccepted),
    String(longestAge),
    undecided.isolates === 0 ? "none" : `${undecided.isolates}, ${fine(undecided.longest)}`,
    isBack ? fine(undecided.last - back) : "–",
  ].join(" | ")} |`;
}

const fine = (value) =>
  (Number.isFinite(value) ? value.toFixed(value < 100 ? 1 : 0) : "not in time");
const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
const whole = (value) => value.toFixed(0);
