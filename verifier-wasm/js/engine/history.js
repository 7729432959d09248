// What was applied, so that a replaced wasm instance can be brought back to it.

export class History {
  /**
   * Where the base is. It stays in wasm's memory, which can be read after a trap too: a second copy
   * would cost as much again. The signature is checked again when it is applied.
   * @type {{ memory: WebAssembly.Memory, address: number, length: number } | undefined}
   */
  base;
  /** What came after it, in order. @type {{ what: string, bytes: Uint8Array }[]} */
  #later = [];
  #deltasBytes = 0;

  /**
   * Remembers one snapshot that came after the base. Of the deltas at most a few megabytes are
   * kept: without the rest a replaced instance is undecided until the next round, never wrong.
   *
   * @param {string} what came of it @param {Uint8Array} bytes @param {boolean} moved the position grew
   */
  remember(what, bytes, moved) {
    const size = bytes.byteLength;
    // A base that repeats the one held proves freshness too, and has taken its place.
    if (what === "replaced" || (what === "refreshed" && size > MAX_HEARTBEAT_BYTES)) {
      if (moved) this.#deltasBytes = 0;
      this.#later = this.#later.filter((one) => !moved && (what !== "replaced" || !WARNINGS.includes(one.what)));
    } else if (what === "extended") {
      if (this.#deltasBytes + size > MAX_DELTAS_BYTES) return;
      this.#deltasBytes += size;
      this.#later.push({ what, bytes });
    } else if (what === "refreshed" || WARNINGS.includes(what)) {
      this.#later = [...this.#later.filter((one) => one.what !== what), { what, bytes }];
    }
  }

  /** Everything to apply again, oldest first. The base can be read until wasm is called. */
  *snapshots() {
    const { base } = this;
    if (base !== undefined) yield new Uint8Array(base.memory.buffer, base.address, base.length);
    for (const { bytes } of this.#later) yield bytes;
  }
}

/** What was refused and taught something all the same. */
const WARNINGS = ["feed_fork", "snapshot_from_the_future"];
const MAX_HEARTBEAT_BYTES = 4096;
const MAX_DELTAS_BYTES = 8 * 1024 * 1024;
