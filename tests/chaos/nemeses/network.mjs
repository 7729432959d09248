// The way to the store is slow, cut, or loses everything.

import { upTo } from "../../support/chance.mjs";
import { pause } from "../load.mjs";
import { anyPlane } from "./processes.mjs";

/** @typedef {import("./index.mjs").Nemesis} Nemesis */

/** The store answers nothing for a moment, again and again. @type {Nemesis} */
export const slow = {
  on: "one-server",
  seconds: 4,
  choose: (random) => ({ tenths: Array.from({ length: 5 }, () => 1 + upTo(random, 8)) }),
  async strike({ redis }, { tenths }) {
    for (const one of tenths) {
      await redis.command(`DEBUG SLEEP 0.${one}`).catch(() => "");
      await pause(100);
    }
  },
};

/** What a control plane and the store send each other waits on the way; neither end learns that. @type {Nemesis} */
export const cut = {
  on: "one-server",
  seconds: 7,
  choose: (random) => ({ plane: anyPlane(random), milliseconds: 1000 + upTo(random, 9000) }),
  async strike({ networks }, { plane, milliseconds }) {
    networks[plane].cut();
    await pause(milliseconds);
    networks[plane].mend();
  },
};

/** What they send each other is lost, and afterwards the control plane's connections are half open. @type {Nemesis} */
export const halfOpen = {
  on: "one-server",
  needs: "room",
  seconds: 6,
  choose: (random) => ({ plane: anyPlane(random), milliseconds: 500 + upTo(random, 7000) }),
  async strike({ networks }, { plane, milliseconds }) {
    networks[plane].loseAll();
    await pause(milliseconds);
    networks[plane].loseNothing();
  },
};
