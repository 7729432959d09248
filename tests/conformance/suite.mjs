// What every runtime must answer. Knows nothing of the runtime: it is handed the package and data.

import { judgeVectors } from "./wycheproof.mjs";

/**
 * @param {{ Verifier: any, verifyJws: any, verifySignature: any }} offswitch
 * @param {{ cases?: object, vectors?: object }} data as cases.mjs or wycheproof.mjs makes it
 * @returns {{ count: number, differences: object[] }}
 */
export function runSuite(offswitch, data) {
  if (data.vectors) return judgeVectors(offswitch, data.vectors);
  const { verifiers, cases } = data.cases;
  const differences = [];
  const made = {};
  let offset = 0;
  for (const [name, { options, now, snapshots }] of Object.entries(verifiers)) {
    made[name] = new offswitch.Verifier({ ...options, clock: () => now + offset });
    for (const text of snapshots) made[name].apply(bytes(text));
  }
  for (const { name, verifier, token, at = 0, outcome, code } of cases) {
    offset = at;
    const verdict = made[verifier].verifySync(token);
    if (verdict.outcome !== outcome || (code !== undefined && verdict.code !== code)) {
      differences.push({ name, expected: code ?? outcome, found: verdict.code });
    }
  }
  return { count: cases.length, differences };
}

const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
