// The store loses what it had, while the control planes run. They put it back.

import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { upTo } from "../../support/chance.mjs";
import { pause } from "../load.mjs";

/** @typedef {import("./index.mjs").Nemesis} Nemesis */

/** Everything in the store is gone. @type {Nemesis} */
export const flush = {
  on: "one-server",
  seconds: 2,
  choose: () => ({}),
  async strike({ redis }) {
    await redis.command("FLUSHALL");
    return { losesFrom: 0 };
  },
};

/** The store comes back as it was some seconds ago. @type {Nemesis} */
export const older = {
  on: "one-server",
  seconds: 5,
  choose: (random) => ({ milliseconds: 1000 + upTo(random, 2000) }),
  async strike({ redis }, { milliseconds }) {
    const [now, kept] = ["appendonlydir", "older"].map((name) => join(redis.folder, name));
    await cp(now, kept, { recursive: true });
    await pause(milliseconds);
    await redis.kill();
    await rm(now, { recursive: true });
    await cp(kept, now, { recursive: true });
    await rm(kept, { recursive: true });
    await redis.start("always");
    return { losesFrom: 0 };
  },
};
