// Control planes on a primary with two replicas, which three sentinels watch.

import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePort } from "../../support/control-plane.mjs";
import { until } from "../../support/feed.mjs";
import { Redis, ask } from "../../support/redis.mjs";
import { PLANES } from "./one-server.mjs";
import { System } from "./system.mjs";

export class Sentinels extends System {
  /** @type {Redis[]} */
  servers = [];
  /** @type {{ port: number, kill(): void }[]} */
  #sentinels = [];

  get processes() {
    return { ...super.processes, ...Object.fromEntries(this.servers.map((one, at) => [`server-${at}`, one])) };
  }

  /**
   * @param {string} folder for data and logs
   * @param {{ waitReplicas: string }} how for how many replicas an append waits
   */
  async start(folder, { waitReplicas }) {
    for (let at = 0; at < SERVERS; at += 1) {
      const home = join(folder, "data", `redis-${at}`);
      await mkdir(home, { recursive: true });
      this.servers.push(new Redis(home, await freePort(), AS_COPY));
      await this.servers[at].start();
    }
    for (const replica of this.servers.slice(1)) {
      await replica.command(`REPLICAOF 127.0.0.1 ${this.servers[0].port}`);
    }
    for (let at = 0; at < SENTINELS; at += 1) await this.#watch(join(folder, `sentinel-${at}.conf`));
    if (!await until(() => this.isWhole().catch(() => false), 60)) throw new Error("the sentinels do not know all servers");
    const hosts = this.#sentinels.map(({ port }) => `127.0.0.1:${port}`).join(",");
    const settings = {
      OFFSWITCH_REDIS_WAIT_REPLICAS: waitReplicas, OFFSWITCH_STORE: `redis+sentinel://${hosts}/${SERVICE}`,
    };
    for (let at = 0; at < PLANES; at += 1) await this.addPlane(folder, settings);
  }

  async #watch(file) {
    const port = await freePort();
    await writeFile(file, `port ${port}\nbind 127.0.0.1\nsentinel monitor ${SERVICE} 127.0.0.1 ${this.servers[0].port} 2\n`
      + `sentinel down-after-milliseconds ${SERVICE} 1000\nsentinel failover-timeout ${SERVICE} 4000\n`);
    const child = spawn("redis-server", [file, "--sentinel"], { stdio: "ignore" });
    this.#sentinels.push({ port, kill: () => child.kill("SIGKILL") });
  }

  /** Whether all sentinels name one primary, both other servers copy it, and each sentinel knows the others. */
  async isWhole() {
    const primary = await this.primary().catch(() => undefined);
    if (primary === undefined) return false;
    const words = await Promise.all(this.#sentinels.map(({ port }) => ask(port, `SENTINEL MASTER ${SERVICE}`)));
    const isKnown = words.every((all) => {
      const about = Object.fromEntries(all.flatMap((word, at) => at % 2 === 0 ? [[word, all[at + 1]]] : []));
      return about.port === `${this.servers[primary].port}` && about.flags === "master"
        && Number(about["num-slaves"]) === SERVERS - 1 && Number(about["num-other-sentinels"]) === SENTINELS - 1;
    });
    const copies = await this.servers[primary].about("replication");
    return isKnown && [0, 1].every((at) => copies[`slave${at}`]?.includes("state=online"));
  }

  /** The server that the first sentinel names. */
  async primary() {
    const [, port] = await ask(this.#sentinels[0].port, `SENTINEL GET-MASTER-ADDR-BY-NAME ${SERVICE}`);
    return this.servers.findIndex((server) => `${server.port}` === port);
  }

  /** From now on no server copies this one, although it goes on serving; until it starts again. @param {number} primary */
  async cutReplication(primary) {
    await this.servers[primary].command("ACL SETUSER copy off");
    await this.servers[primary].command("CLIENT KILL TYPE replica");
  }

  stop() {
    super.stop();
    for (const sentinel of this.#sentinels) sentinel.kill();
  }
}

const SERVICE = "main";
const SERVERS = 3;
const SENTINELS = 3;
/** Replicas log in as a user of their own, which can be switched off. */
const AS_COPY = ["--user", "copy", "on", ">secret", "~*", "&*", "+@all", "--masteruser", "copy", "--masterauth", "secret"];
