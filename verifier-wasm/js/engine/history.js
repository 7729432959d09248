// The applied snapshots, from which a replaced wasm instance gets its state again.

export class History {
  /**
   * The place of the base. It stays in wasm's memory, which can be read after a trap too: a second copy would
   * take as much memory again. The signature is checked again when it is applied.
   * @type {{ memory: WebAssembly.Memory, address: number, length: number } | undefined}
   */
  base;
  /** The snapshots after it, in order. @type {{ what: string, bytes: Uint8Array }[]} */
  #later = [];
  #deltasBytes = 0;

  /**
   * Remembers one snapshot that was applied after the base. Of the deltas at most a few megabytes are kept:
   * without the rest a replaced instance is undecided until the next round, never wrong.
   *
   * @param {string} what the result of applying it @param {Uint8Array} bytes @param {boolean} moved the position grew
   */
  remember(what, bytes, moved) {
    const size = bytes.byteLength;
    // A base that repeats the held one also proves freshness, and has replaced it.
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

  /** All snapshots to apply again, oldest first. The base can be read until wasm is called. */
  *snapshots() {
    const { base } = this;
    if (base !== undefined) yield new Uint8Array(base.memory.buffer, base.address, base.length);
    for (const { bytes } of this.#later) yield bytes;
  }
}

/** Refused snapshots that still changed the state. */
const WARNINGS = ["feed_fork", "snapshot_from_the_future"];
const MAX_HEARTBEAT_BYTES = 4096;
const MAX_DELTAS_BYTES = 8 * 1024 * 1024;
