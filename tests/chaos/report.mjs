// What a run says about its histories.

import { lostUnpublished, missingForAMoment, violations } from "./checker.mjs";
import { outageOf, undecidedAfter } from "./fault-rules.mjs";

/** Prints the figures and the violations; returns true if there are any. @param {import("./history.mjs").History} history */
export function report(history) {
  console.log(`\n${figures(history)}`);
  console.log(`answers other than success: ${JSON.stringify(counted(history.failures.map(nameOf)))}`);
  for (const line of [...durations(history), ...demotions(history)]) console.log(line);
  const { acknowledged, bases, verdicts } = missingForAMoment(history);
  console.log(`before the only process that knew some entries had noticed their loss: ${bases} bases without them, `
    + `${verdicts} verdicts against a published one, ${acknowledged} acknowledged ones missing`);
  const found = violations(history);
  const shown = {};
  for (const { rule, text, evidence } of found) {
    shown[rule] = (shown[rule] ?? 0) + 1;
    if (shown[rule] > SHOWN) continue;
    console.log(`VIOLATED: ${rule}: ${text}`);
    for (const one of evidence) console.log(`  ${JSON.stringify(one)}`);
  }
  console.log(found.length === 0 ? "Every rule held." : `violations: ${JSON.stringify(shown)}`);
  return found.length > 0;
}

/** @param {import("./history.mjs").History} history */
export function figures(history) {
  const { faults, received, revocations, tokens, verdicts } = history;
  const acknowledged = revocations.filter(({ outcome }) => outcome === "acknowledged");
  const levels = Object.entries(counted(acknowledged.map(({ level }) => level)));
  const of = (/** @type {string} */ one) => verdicts.filter(({ outcome }) => outcome === one).length;
  const killed = faults.reduce((sum, one) => sum + (one.killed ?? 0), 0);
  return `${faults.length} faults, ${killed} processes killed, ${tokens.length} tokens, `
    + `${acknowledged.length} revocations acknowledged (${levels.map(([level, count]) => `${count} ${level}`).join(", ")}), ${lostUnpublished(history)} of them lost unpublished, `
    + `${received.length} snapshots received, verdicts: ${of("valid")} valid, ${of("refused")} refused, `
    + `${of("undecided")} undecided`;
}

/** For each kind of fault how often it happened, and how long it took until everything worked again. */
function durations(history) {
  const { faults } = history;
  const kinds = counted(faults.map(({ kind }) => kind));
  return Object.entries(kinds).flatMap(([kind, count]) => {
    const own = faults.filter((one) => one.kind === kind && one.recovered !== undefined);
    if (own.length === 0) return [];
    const recovered = spread(own.map((one) => one.recovered));
    const lines = [`${kind}: ${count}, from the end of the cause until every process is ready and revokes ${recovered}`];
    const outages = own.flatMap((one) => outageOf(history, one) ?? []);
    const outage = `${kind}: from the death of the primary to the next acknowledged revocation`;
    if (outages.length > 0) lines.push(`${outage} ${spread(outages)}`);
    return lines;
  });
}

/** @param {number[]} milliseconds */
function spread(milliseconds) {
  const sorted = [...milliseconds].sort((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, max ${at(1)} ms`;
}

function demotions(history) {
  return undecidedAfter(history).map(({ verifier, seconds }) =>
    `undecided ${seconds.toFixed(1)} s after the demotion: ${verifier}`);
}

const nameOf = ({ status, code }) => status === 0 ? "no answer" : `${status} ${code}`;

/** @param {(string | undefined)[]} names */
function counted(names) {
  const counts = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}

/** Violations of one rule that are printed. */
const SHOWN = 3;
