// What every system under test has: control planes, each with its own folder, and how to see that they work.

import { randomBytes } from "node:crypto";
import { openSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ControlPlane, freePort } from "../../support/control-plane.mjs";
import { until } from "../../support/feed.mjs";

export const AUDIENCE = "api";
export const ISSUER = "https://chaos.test";

/** One control plane, with all its restarts. */
export class Plane extends ControlPlane {
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

  /** Whether it is ready and a revocation is acknowledged. */
  async works() {
    const signal = AbortSignal.timeout(ANSWER_WITHIN);
    const ready = await fetch(`${this.url}/readyz`, { signal });
    await ready.text();
    if (!ready.ok) return false;
    const headers = { authorization: `Bearer ${this.apiKey}`, "content-type": "application/json" };
    const body = JSON.stringify({ jti: crypto.randomUUID(), exp: Math.floor(Date.now() / 1000) + 7200 });
    const answer = await fetch(`${this.url}/v1/revocations`, { method: "POST", headers, body, signal });
    await answer.text();
    return answer.ok;
  }
}

export class System {
  /** @type {Plane[]} */
  planes = [];
  #masterKey = randomBytes(32).toString("base64url");

  /**
   * Every process of it, by name.
   *
   * @returns {Record<string, { kill(): Promise<void>, start(): Promise<void>, signal(name: NodeJS.Signals): void }>}
   */
  get processes() {
    return Object.fromEntries(this.planes.map((plane) => [plane.name, plane]));
  }

  /**
   * Starts one more control plane.
   *
   * @param {string} folder for its data and its log @param {Record<string, string>} own settings
   * @param {string} [data] its data_dir, if it is not in `folder`
   */
  async addPlane(folder, own, data) {
    const name = `plane-${this.planes.length}`;
    const log = openSync(join(folder, `${name}.log`), "a");
    const settings = {
      OFFSWITCH_ACCESS_TOKEN_SECONDS: "7200", // longer than a run: nothing expires
      OFFSWITCH_AUDIENCE: AUDIENCE,
      OFFSWITCH_ISSUER: ISSUER,
      OFFSWITCH_LOG: "info,offswitch::audit=off",
      OFFSWITCH_MASTER_KEY: this.#masterKey,
      ...own,
    };
    const home = data ?? join(folder, "data", name);
    await mkdir(home, { recursive: true });
    const plane = new Plane(name, home, await freePort(), settings, log);
    this.planes.push(plane);
    // The first one has created the key.
    plane.apiKey = this.planes[0].apiKey;
    await plane.start();
    this.apiKey = plane.apiKey;
    this.feedKeys ??= (await plane.call("GET", "/v1/keys")).feed_public_keys;
  }

  /** Waits until every control plane is ready and revokes. */
  async works() {
    const works = await Promise.all(this.planes.map((plane) =>
      until(() => plane.works().catch(() => false), WORKS_WITHIN_SECONDS)));
    const late = this.planes.filter((_, at) => !works[at]).map(({ name }) => name);
    if (late.length > 0) throw new Error(`${late.join(", ")} did not work again within ${WORKS_WITHIN_SECONDS} s`);
  }

  /** Kills every process; for a program that exits now. */
  stop() {
    for (const one of Object.values(this.processes)) one?.kill().catch(() => {});
  }
}

const ANSWER_WITHIN = 5000;
const WORKS_WITHIN_SECONDS = 60;
