// The events of a run, as plain data. The checker reads nothing else.

import { readFile, writeFile } from "node:fs/promises";

/**
 * Times (`at`, `begin`, …) are milliseconds of the unix clock of the program that runs the load.
 * Positions are `era.seq`. A process is one life of a control plane: `plane-0#3`.
 *
 * @typedef {object} Token An access token of the control plane; the history never holds the token itself.
 * @property {number} token its number
 * @property {number} at when its session was opened
 * @property {string} sub
 * @property {string} sid
 * @property {string} jti
 * @property {number} ver
 *
 * @typedef {object} Revocation One request, which may be sent several times under one idempotency key.
 * @property {string} request
 * @property {"jti" | "session" | "user"} kind
 * @property {number[]} tokens the numbers of all tokens that it covers
 * @property {string} process that was asked last
 * @property {number} at when it was sent; once it is acknowledged: when that answer came
 * @property {number} [sent] when it was sent the last time
 * @property {"acknowledged" | "refused" | "unknown"} outcome
 * @property {string} [position]
 * @property {"memory" | "synced" | "written"} [level]
 *
 * @typedef {object} Received One snapshot that a follower received.
 * @property {number} at
 * @property {string} follower
 * @property {string} process
 * @property {string} result the verifier's result: `replaced`, `extended`, … or an error's code
 * @property {"base" | "delta" | "heartbeat"} kind
 * @property {string} from
 * @property {string} to
 * @property {string} chainFrom the chain hash at `from`
 * @property {string} chainTo the chain hash at `to`
 * @property {string[]} denied fingerprints
 * @property {[user: string, version: number, notBefore: number][]} users
 *
 * @typedef {object} Verdict
 * @property {number} at
 * @property {string} verifier
 * @property {string | null} position the verifier's position
 * @property {number} token
 * @property {"refused" | "undecided" | "valid"} outcome
 * @property {string} code
 *
 * @typedef {object} Fault
 * @property {string} kind `demotion`, `lost-seconds`, or one of `nemeses/index.mjs`
 * @property {number} begin
 * @property {number} end when everything was ready again
 * @property {number} [recovered] how long that took after the cause was gone, milliseconds; not set for the first two kinds
 * @property {number} [losesFrom] writes after this moment may be lost in the store; only those of `lost-seconds`
 *   are then lost for good, if no follower got them
 * @property {number} [killed] how many processes died
 * @property {number} [killedAt] when a primary died
 * @property {number} [moved] how many keys moved to another node
 * @property {[from: number, to: number]} [flushesFail] when every flush of the store failed
 * @property {boolean} [mustHeal] the store has lost records that only control planes can put back
 * @property {boolean} [mustRefuse] nothing can be recorded for a while
 *
 * @typedef {object} Failure One request of the load that was not a success.
 * @property {number} at
 * @property {string} process
 * @property {number} status 0 if there was no answer
 * @property {string} [code] of the answer
 *
 * @typedef {object} Readiness
 * @property {number} at when it was asked
 * @property {number} until when the answer came
 * @property {string} process
 * @property {boolean} ready
 *
 * @typedef {object} History
 * @property {Token[]} tokens
 * @property {Revocation[]} revocations
 * @property {Received[]} received
 * @property {Verdict[]} verdicts
 * @property {Fault[]} faults
 * @property {Readiness[]} readiness
 * @property {Failure[]} failures
 */

/** @returns {History} */
export const emptyHistory = () =>
  ({ tokens: [], revocations: [], received: [], verdicts: [], faults: [], readiness: [], failures: [] });

/** One JSON object per line, each with the name of its list. @param {History} history @param {string} path */
export async function writeHistory(history, path) {
  const lines = Object.entries(history).flatMap(([list, rows]) =>
    rows.map((row) => `${JSON.stringify({ list, ...row })}\n`));
  await writeFile(path, lines);
}

/** @param {string} path @returns {Promise<History>} */
export async function readHistory(path) {
  const history = emptyHistory();
  for (const line of (await readFile(path, "utf8")).split("\n").filter(Boolean)) {
    const { list, ...row } = JSON.parse(line);
    history[list].push(row);
  }
  return history;
}

/** Compares two positions: below zero, zero or above. @param {string} a @param {string} b */
export function compare(a, b) {
  const [[aEra, aSeq], [bEra, bSeq]] = [partsOf(a), partsOf(b)];
  return aEra - bEra || aSeq - bSeq;
}

/** @param {string} position */
export const eraOf = (position) => partsOf(position)[0];

/** @param {string} position */
const partsOf = (position) => position.split(".").map(Number);

/** @param {Revocation[]} revocations */
export const acknowledged = (revocations) => revocations.filter(({ outcome }) => outcome === "acknowledged");
/** @param {Verdict} verdict */
export const isRevoked = ({ code }) => code.startsWith("revoked_");
/** @param {Verdict} verdict */
export const isValid = ({ outcome }) => outcome === "valid";
