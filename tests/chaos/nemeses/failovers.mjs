// Another server takes over, or gets the slot. It may lack the last records, and the control planes put them back.

import { upTo } from "../../support/chance.mjs";
import { until } from "../../support/feed.mjs";
import { pause } from "../load.mjs";

/** @typedef {import("./index.mjs").Nemesis} Nemesis */

/** The primary that sentinels watch dies. @type {Nemesis} */
export const failover = {
  on: "sentinels",
  seconds: 15,
  choose: (random) => ({ milliseconds: upTo(random, 1000) }),
  async strike(system, { milliseconds }) {
    await pause(milliseconds);
    const primary = await system.primary();
    await system.servers[primary].kill();
    const killedAt = Date.now();
    return { ...await replaced(system, primary, killedAt), losesFrom: killedAt };
  },
};

/** The same, after a while in which nothing that it acknowledged was copied. @type {Nemesis} */
export const lossyFailover = {
  on: "sentinels",
  seconds: 16,
  choose: (random) => ({ milliseconds: 1000 + upTo(random, 1500) }),
  async strike(system, { milliseconds }) {
    const primary = await system.primary();
    const losesFrom = Date.now();
    await system.cutReplication(primary);
    await pause(milliseconds);
    await system.servers[primary].kill();
    const killedAt = Date.now();
    return { ...await replaced(system, primary, killedAt), losesFrom, mustHeal: true };
  },
};

/** The primary of the feed's slot dies. @type {Nemesis} */
export const clusterFailover = {
  on: "cluster",
  seconds: 10,
  choose: (random) => ({ milliseconds: upTo(random, 1000) }),
  async strike(system, { milliseconds }) {
    await pause(milliseconds);
    const [primary, replica] = await system.holders();
    await system.nodes[primary].kill();
    const killedAt = Date.now();
    if (!await until(async () => (await system.holders().catch(() => []))[0] === replica, 60)) {
      throw new Error("no replica takes over the slot");
    }
    await system.works();
    await system.nodes[primary].start();
    await system.untilWhole();
    return { killed: 1, killedAt, losesFrom: killedAt, mustRefuse: true };
  },
};

/** The slot moves to another primary, key by key. @type {Nemesis} */
export const migration = {
  on: "cluster",
  seconds: 8,
  choose: (random) => ({ next: 1 + upTo(random, 2), keys: 1 + upTo(random, 20), milliseconds: upTo(random, 20) }),
  async strike(system, { next, keys, milliseconds }) {
    const [from] = await system.holders();
    const primaries = await system.primaries();
    const to = primaries[(primaries.indexOf(from) + next) % primaries.length];
    const [source, target] = [system.nodes[from], system.nodes[to]];
    await target.command(`CLUSTER SETSLOT ${system.slot} IMPORTING ${await system.idOf(from)}`);
    await source.command(`CLUSTER SETSLOT ${system.slot} MIGRATING ${await system.idOf(to)}`);
    let moved = 0;
    for (;;) {
      const some = await source.command(`CLUSTER GETKEYSINSLOT ${system.slot} ${keys}`);
      if (some.length === 0) break;
      // The keys are in braces, without spaces.
      for (const key of some) await source.command(`MIGRATE 127.0.0.1 ${target.port} ${key} 0 5000`);
      moved += some.length;
      await pause(milliseconds);
    }
    for (const node of [to, from]) {
      await system.nodes[node].command(`CLUSTER SETSLOT ${system.slot} NODE ${await system.idOf(to)}`);
    }
    return { moved };
  },
};

/** Waits until work goes on without the primary, then starts that server again as a copy of the new one. */
async function replaced(system, primary, killedAt) {
  await system.works();
  await system.servers[primary].start();
  if (!await until(() => system.isWhole().catch(() => false), 60)) throw new Error("no server copies the new primary");
  return { killed: 1, killedAt, mustRefuse: true };
}
