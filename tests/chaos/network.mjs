// The way from a control plane to the store.

import { spawnSync } from "node:child_process";
import { connect, createServer } from "node:net";

/** While it is cut, bytes and new connections wait. While it loses all, packets are gone and neither end learns that. */
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

  /**
   * Loses all packets between the control plane and its end of the way, and forgets the connections: the control
   * plane has them half open. Needs a network namespace of its own, or it would change the firewall of the machine.
   */
  loseAll() {
    filter("add table inet chaos");
    filter("add chain inet chaos input { type filter hook input priority 0 ; }");
    for (const side of ["dport", "sport"]) filter(`add rule inet chaos input tcp ${side} ${this.port} drop`);
    for (const [near, far] of this.#pairs) {
      // A reset is sent once, and is lost.
      near.resetAndDestroy();
      far.destroy();
    }
  }

  /** From now on packets arrive again. */
  loseNothing() {
    filter("delete table inet chaos");
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

/** @param {string} rule */
function filter(rule) {
  const { status, stderr } = spawnSync("nft", rule.split(" "), { encoding: "utf8" });
  if (status !== 0) throw new Error(`nft ${rule}: ${stderr}`);
}
