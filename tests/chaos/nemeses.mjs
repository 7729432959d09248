// Faults that lose nothing which was acknowledged: each happens under load and is over when its function returns.

import { cp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { shuffled, upTo } from "../support/chance.mjs";
import { pause } from "./load.mjs";

/**
 * @typedef {import("./system.mjs").System} System
 * @typedef {{ begin: number, end: number, kind: import("./history.mjs").Fault["kind"], losesFrom?: number }} Fault
 * @typedef {(system: System, random: () => number) => Promise<Partial<Fault> | void>} Nemesis
 */

/** One of the processes, or all of them, die and start again. @type {Nemesis} */
async function kill({ planes, redis }, random) {
  const all = shuffled([...planes, redis], random);
  const killed = all.slice(0, upTo(random, 4) === 0 ? all.length : 1);
  await Promise.all(killed.map((one) => one.kill()));
  // A control plane waits for its store.
  await Promise.all(killed.map((one) => one.start()));
  return { killed: killed.length };
}

/** A process does not run for some seconds; its connections stay open. @type {Nemesis} */
async function freeze({ planes, redis }, random) {
  const one = shuffled([...planes, redis], random)[0];
  one.signal("SIGSTOP");
  await pause(500 + upTo(random, 4000));
  one.signal("SIGCONT");
}

/** The store is slow: it answers nothing for a moment, again and again. @type {Nemesis} */
async function slow({ redis }, random) {
  for (let times = 0; times < 5; times += 1) {
    await redis.command(`DEBUG SLEEP 0.${1 + upTo(random, 8)}`).catch(() => "");
    await pause(100);
  }
}

/** Everything in the store is gone, and the control planes run. @type {Nemesis} */
async function flush({ redis }) {
  await redis.command("FLUSHALL");
  return { losesFrom: 0 };
}

/** The store comes back as it was some seconds ago, and the control planes run. @type {Nemesis} */
async function older({ redis }, random) {
  const [now, kept] = ["appendonlydir", "older"].map((name) => join(redis.folder, name));
  await cp(now, kept, { recursive: true });
  await pause(1000 + upTo(random, 2000));
  await redis.kill();
  await rm(now, { recursive: true });
  await cp(kept, now, { recursive: true });
  await rm(kept, { recursive: true });
  await redis.start("always");
  return { losesFrom: 0 };
}

/** A control plane and the store do not hear each other; neither end learns that. @type {Nemesis} */
async function cut({ planes }, random) {
  const { network } = shuffled(planes, random)[0];
  network.cut();
  await pause(1000 + upTo(random, 9000));
  network.mend();
}

/** A control plane's clock is ten minutes wrong. @type {Nemesis} */
async function clock({ planes }, random) {
  const plane = shuffled(planes, random)[0];
  await plane.kill();
  await plane.start(random() < 0.5 ? "-10m" : "+10m");
  await pause(3000);
  await plane.kill();
  await plane.start();
}

/** @type {Record<string, Nemesis>} */
export const NEMESES = { clock, cut, flush, freeze, kill, older, slow };

/** Lets one happen; returns the fault for the history. @param {string} name @param {System} system @param {() => number} random */
export async function strike(name, system, random) {
  const begin = Date.now();
  const more = await NEMESES[name](system, random);
  return { kind: name, begin, end: Date.now(), ...more };
}

/** The way from a control plane to the store. While it is cut, bytes and new connections wait. */
export class Network {
  #isCut = false;
  #pairs = new Set();

  /** @param {number} port of the store @returns {Promise<Network>} */
  static async to(port) {
    const network = new Network();
    const server = createServer((near) => network.#join(near, port));
    await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
    network.port = /** @type {import("node:net").AddressInfo} */ (server.address()).port;
    server.unref();
    return network;
  }

  cut() {
    this.#isCut = true;
    for (const ends of this.#pairs) for (const end of ends) end.pause();
  }

  mend() {
    this.#isCut = false;
    for (const ends of this.#pairs) for (const end of ends) end.resume();
  }

  #join(near, port) {
    const far = connect(port, "127.0.0.1");
    const ends = [near, far];
    this.#pairs.add(ends);
    for (const [from, to] of [[near, far], [far, near]]) {
      from.setNoDelay(true);
      from.on("data", (bytes) => to.write(bytes)).on("error", () => {}).on("close", () => {
        this.#pairs.delete(ends);
        to.destroy();
      });
      if (this.#isCut) from.pause();
    }
  }
}
