// The stated bounds of each scenario, compared with the measurements of a run.

import { cellsOf } from "./scenarios.mjs";
import { HARD_BOUND_SECONDS, LONGEST_PAUSE, boundOf } from "./simulation.mjs";

/** The requests of a cache to its publisher: at most this many per second while nothing fails. */
export const REQUESTS_OF_A_CACHE = 3;

/**
 * All violations, as sentences.
 *
 * @param {object} scenario @param {object[]} results of `simulate`
 * @param {{ isolates: number, presences: number }} size
 */
export const violations = (scenario, results, size) =>
  cellsOf(scenario).flatMap((cell, nth) => violationsIn(cell, results[nth], size));

/** @param {object} scenario of one cell */
function violationsIn(scenario, result, { isolates, presences }) {
  const { cache, feed, isSteady, losses = 0, outage } = scenario;
  const bound = boundOf(scenario);
  const found = [];
  const hold = (holds, text) => void (holds || found.push(`${scenario.name}: ${text}`));
  const { longestAccepted, longestAge, peakPerSecond, refused, undecided, watched } = result;
  hold(watched > 0, "no revocation was watched");
  hold(longestAccepted <= HARD_BOUND_SECONDS,
    `a revoked token was accepted for ${longestAccepted} s, more than ${HARD_BOUND_SECONDS} s`);
  hold(longestAge < HARD_BOUND_SECONDS, `a snapshot that was ${longestAge} s old was used`);
  if (isSteady) {
    hold(longestAccepted <= bound,
      `a revoked token was accepted for ${longestAccepted} s, not ${bound} s`);
    hold(refused.all <= bound, `an isolate refused only after ${refused.all} s, not ${bound} s`);
    hold(undecided.isolates === 0, `${undecided.isolates} isolates were undecided`);
  }
  if (isSteady && cache) {
    const most = presences * REQUESTS_OF_A_CACHE;
    hold(peakPerSecond <= most, `${peakPerSecond} requests in a second at the origin, not ${most}`);
  }
  if (!cache && feed.follow === "poll") {
    const most = (2 * isolates) / feed.pollSeconds;
    hold(peakPerSecond <= most, `${peakPerSecond} requests in a second at the origin, not ${most}`);
  }
  if (outage && losses === 0) {
    const back = outage.from + outage.seconds;
    const latest = back + LONGEST_PAUSE + bound;
    hold(undecided.last < latest && undecided.still === 0, `undecided until ${undecided.last} s`);
    hold(refused.all <= latest - outage.from, `an isolate refused only after ${refused.all} s`);
    const isLong = outage.seconds > HARD_BOUND_SECONDS + LONGEST_PAUSE;
    hold(!isLong || undecided.isolates === isolates, `only ${undecided.isolates} isolates were undecided`);
  }
  return found;
}
