// The memory of a guard with many revocations, of which it has answered about some tokens.

import { readFileSync } from "node:fs";
import { sign } from "../support/fixture.mjs";
import { memoryOf, startFeed, startGuard } from "./guards.mjs";

/**
 * @param {string} program @param {string} folder @param {{ algorithms: object }} material the issuer's key
 * @param {number[]} counts of revocations @param {number} pause until another base has taken its place, ms
 * @returns {Promise<{ count: number, base: number, resident: number, replaced: number, peak: number }[]>} MiB
 */
export async function measureMemory(program, folder, material, counts, pause) {
  const rows = [];
  for (const count of counts) {
    const { publicKey, snapshots: [base, next] } = sign([{ to: 2, extra: count }, { to: 3, extra: count }]);
    const served = { ...material, publicKey, base };
    const feed = await startFeed(served);
    const guard = await startGuard(program, folder, "nginx", feed, served);
    const resident = memoryOf(guard.pid);
    // Another base takes the place of the first one: for a moment both are there.
    served.base = next;
    await new Promise((resume) => setTimeout(resume, pause));
    rows.push({ count, base: base.length / 2 ** 20, resident, replaced: memoryOf(guard.pid), peak: peakOf(guard.pid) });
    await guard.end();
    feed.close();
  }
  return rows;
}

/** The most memory that a process has had, MiB. */
function peakOf(pid) {
  const [, kib] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(kib) / 1024;
}
