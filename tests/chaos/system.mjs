// The system under test: a Redis server, and several control planes on it, each with its own folder.

import { randomBytes } from "node:crypto";
import { openSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ControlPlane, freePort } from "../support/control-plane.mjs";
import { Redis } from "../support/redis.mjs";
import { Network } from "./nemeses.mjs";

export const AUDIENCE = "api";
export const ISSUER = "https://chaos.test";

/** One control plane, with all its restarts. */
export class Plane extends ControlPlane {
  /** The way to the store. @type {Network} */
  network;
  #folder;
  #lives = 0;

  /** @param {string} name @param {string} folder @param {number} port @param {Record<string, string>} settings @param {number} log */
  constructor(name, folder, port, settings, log) {
    super(folder, port, settings, log);
    this.#folder = folder;
    this.name = name;
  }

  /** The name of its current process. */
  get process() {
    return `${this.name}#${this.#lives}`;
  }

  /** @param {string} [clock] how far its clock is wrong */
  async start(clock) {
    this.#lives += 1;
    await super.start(clock);
  }

  /** Removes its stored copy of what it published. */
  forget() {
    return rm(join(this.#folder, "published"), { recursive: true, force: true });
  }
}

export class System {
  /** @type {Plane[]} */
  planes = [];

  /** @param {string} folder for data and logs @param {number} count of control planes */
  async start(folder, count) {
    const data = join(folder, "data");
    await mkdir(join(data, "redis"), { recursive: true });
    this.redis = new Redis(join(data, "redis"), await freePort());
    await this.redis.start("everysec");
    const settings = {
      OFFSWITCH_ACCESS_TOKEN_SECONDS: "7200", // longer than a run: nothing expires
      OFFSWITCH_AUDIENCE: AUDIENCE,
      OFFSWITCH_ISSUER: ISSUER,
      OFFSWITCH_LOG: "info,offswitch::audit=off",
      OFFSWITCH_MASTER_KEY: randomBytes(32).toString("base64url"),
    };
    for (let at = 0; at < count; at += 1) {
      const name = `plane-${at}`;
      const log = openSync(join(folder, `${name}.log`), "a");
      const network = await Network.to(this.redis.port);
      const own = { ...settings, OFFSWITCH_STORE: `redis://127.0.0.1:${network.port}` };
      const plane = new Plane(name, join(data, name), await freePort(), own, log);
      plane.network = network;
      this.planes.push(plane);
      // The first one has created the key.
      plane.apiKey = this.planes[0].apiKey;
      await plane.start();
    }
    this.apiKey = this.planes[0].apiKey;
    this.feedKeys = (await this.planes[0].call("GET", "/v1/keys")).feed_public_keys;
  }

  /** Kills every process; for a program that exits now. */
  stop() {
    for (const one of [...this.planes, this.redis]) one?.kill().catch(() => {});
  }
}
