// The rules about the faults themselves: they are noticed and survived, and the run has looked at their effects.

import { acknowledged, eraOf, isRevoked, isValid } from "./history.mjs";

/**
 * @typedef {import("./history.mjs").History} History
 * @typedef {import("./history.mjs").Received} Received
 * @typedef {import("./checker.mjs").Violation} Violation
 */

/**
 * A primary was demoted in place: soon no verifier calls a token valid any more, and readiness is
 * red, until it is promoted.
 *
 * @param {History} history @returns {Violation[]}
 */
function demotionIsNoticed({ faults, readiness, verdicts }) {
  return faults.filter(({ kind }) => kind === "demotion").flatMap(({ begin, end }) => {
    const late = verdicts.filter(({ at }) => at > begin + UNDECIDED_WITHIN && at < end);
    const red = readiness.filter(({ at, until }) => at > begin + RED_WITHIN && until < end);
    const undecided = new Set(late.filter(isUndecided).map(({ verifier }) => verifier));
    const during = verdicts.filter(({ at }) => at > begin && at < end);
    const verifiers = [...new Set(during.map(({ verifier }) => verifier))];
    const seconds = (at) => ((at - begin) / 1000).toFixed(1);
    return [
      ...late.filter(isValid).map((verdict) => ({
        text: `${verdict.verifier} called a token valid ${seconds(verdict.at)} s after the demotion`,
        evidence: [verdict],
      })),
      ...verifiers.filter((one) => !undecided.has(one)).map((verifier) => ({
        text: `${verifier} was not seen undecided`, evidence: during.slice(-1),
      })),
      ...red.filter(({ ready }) => ready).map((answer) => ({
        text: `${answer.process} was ready ${seconds(answer.at)} s after the demotion`, evidence: [answer],
      })),
      ...(red.length > 0 && verifiers.length > 0 ? [] : [{ text: "no verifier was asked", evidence: [] }]),
    ];
  });
}

/** When each verifier was first undecided after a demotion, seconds. @param {History} history */
export function undecidedAfter({ faults, verdicts }) {
  return faults.filter(({ kind }) => kind === "demotion").flatMap(({ begin, end }) => {
    const first = new Map();
    for (const { at, verifier } of verdicts.filter(isUndecided)) {
      if (at > begin && at < end && !first.has(verifier)) first.set(verifier, (at - begin) / 1000);
    }
    return [...first].map(([verifier, seconds]) => ({ verifier, seconds }));
  });
}

/**
 * After each fault every control plane is ready and revokes again, soon after the cause is gone; after the death of a
 * primary revoking works again as soon as is promised.
 *
 * @param {History} history @returns {Violation[]}
 */
function everyFaultIsSurvived(history) {
  return history.faults.flatMap((fault) => {
    const late = fault.recovered > RECOVERED_WITHIN ? [fault.recovered] : [];
    const outage = outageOf(history, fault) ?? 0;
    return [...late, ...outage > REVOKES_WITHIN ? [outage] : []].map((milliseconds) => ({
      text: `after ${fault.kind} it took ${(milliseconds / 1000).toFixed(1)} s until everything worked again`,
      evidence: [fault],
    }));
  });
}

/**
 * From the death of a primary to the next revocation that was asked for and acknowledged, milliseconds.
 *
 * @param {History} history @param {import("./history.mjs").Fault} fault
 */
export function outageOf({ revocations }, { killedAt }) {
  if (killedAt === undefined) return undefined;
  // One that was asked for before may have been recorded by the server that died.
  const after = acknowledged(revocations).filter(({ sent }) => sent >= killedAt);
  return Math.min(...after.map(({ at }) => at)) - killedAt;
}

/**
 * Every request of the load is correct, so each one that fails gets no answer, or one that says to try again. But a
 * store that lost records has lost sessions too, and no process has those.
 *
 * @param {History} history @returns {Violation[]}
 */
function failuresCanBeRetried({ failures, faults }) {
  const isLost = ({ at, code }) => code === "unknown_session"
    && faults.some(({ begin, losesFrom }) => losesFrom !== undefined && begin <= at);
  const isFinal = ({ status }) => status !== 0 && status !== 503;
  return failures.filter((one) => isFinal(one) && !isLost(one)).map((failure) => ({
    text: `${failure.process} answered ${failure.status} ${failure.code} to a correct request`, evidence: [failure],
  }));
}

/**
 * While every flush of the store fails, nothing is acknowledged as flushed. (An answer may be on its way when that begins.)
 *
 * @param {History} history @returns {Violation[]}
 */
function nothingIsSyncedWhileFlushesFail({ faults, revocations }) {
  const synced = acknowledged(revocations).filter(({ level }) => level === "synced");
  return faults.filter(({ flushesFail }) => flushesFail).flatMap(({ kind, flushesFail: [from, to] }) =>
    synced.filter(({ at }) => at > from + ANSWERED_WITHIN && at < to).map((revocation) => ({
      text: `${revocation.position} was acknowledged as synced while every flush failed (${kind})`,
      evidence: [revocation],
    })));
}

/**
 * A fault that had no effect proves nothing: requests failed where nothing could be recorded, a new era began where
 * records were lost, keys moved.
 *
 * @param {History} history @returns {Violation[]}
 */
function everyFaultHadAnEffect({ failures, faults, received, revocations }) {
  const newest = (/** @type {Received[]} */ rows) => rows.reduce((era, { to }) => Math.max(era, eraOf(to)), 0);
  return faults.flatMap((fault) => {
    const { begin, end, killedAt, kind, losesFrom, moved, mustHeal, mustRefuse } = fault;
    const isWithin = ({ at }) => at >= begin && at <= end + ANSWERED_WITHIN;
    const seen = {
      "no request failed": !mustRefuse || failures.some(isWithin),
      "nothing was acknowledged that the new primary lacked": !mustHeal
        || acknowledged(revocations).some(({ at }) => at > losesFrom && at < killedAt),
      "no new era began": !mustHeal
        || newest(received.filter(({ at }) => at < begin)) < newest(received.filter(isWithin)),
      "no key moved": moved !== 0,
    };
    return Object.entries(seen).filter(([, holds]) => !holds).map(([text]) =>
      ({ text: `${kind}: ${text}`, evidence: [fault] }));
  });
}

/**
 * A run that has not looked proves nothing: each fault had something to lose, and afterwards there
 * was a base, a token that stayed revoked and one that stayed valid.
 *
 * @param {History} history @returns {Violation[]}
 */
function everyFaultWasLookedAt({ faults, received, revocations, verdicts }) {
  const refusedBefore = (begin) =>
    new Set(verdicts.filter((one) => isRevoked(one) && one.at < begin).map(({ token }) => token));
  const lossy = faults.filter(({ kind }) => kind === "lost-seconds");
  return lossy.flatMap(({ begin, end, losesFrom }, at) => {
    const next = lossy[at + 1]?.begin ?? Infinity;
    const isAfter = (one) => one.at > end && one.at < next;
    const refused = refusedBefore(begin);
    const seen = {
      "nothing was acknowledged in the seconds that were lost":
        acknowledged(revocations).some((one) => one.at > losesFrom && one.at < begin),
      "no base was received": received.some((one) => one.kind === "base" && isAfter(one)),
      "no revoked token was judged again":
        verdicts.some((one) => isAfter(one) && isRevoked(one) && refused.has(one.token)),
      "no token was valid": verdicts.some((one) => isAfter(one) && isValid(one)),
    };
    return Object.entries(seen).filter(([, holds]) => !holds).map(([text]) =>
      ({ text: `fault ${at + 1}: ${text}`, evidence: [{ begin, end, losesFrom }] }));
  });
}

export const FAULT_RULES = {
  demotionIsNoticed, everyFaultIsSurvived, failuresCanBeRetried, nothingIsSyncedWhileFlushesFail,
  everyFaultHadAnEffect, everyFaultWasLookedAt,
};

const isUndecided = ({ outcome }) => outcome === "undecided";

/** The default `maxStaleness` of a verifier and the seconds that times are rounded to, in milliseconds. */
const UNDECIDED_WITHIN = 62_000;
/** Processes check the store's findings every five seconds. */
const RED_WITHIN = 10_000;
/** Limits of the load's machine, not of the control plane: it is shared. */
const RECOVERED_WITHIN = 30_000;
/** After the death of a primary (R23, R24). */
const REVOKES_WITHIN = 10_000;
const ANSWERED_WITHIN = 1_000;
