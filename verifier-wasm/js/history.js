// What was applied since the base, so that a replaced wasm instance can be brought back to it.

export class History {
  /** @type {Uint8Array | undefined} */
  #base;
  /** @type {Uint8Array[]} */
  #deltas = [];
  #deltasBytes = 0;
  /** @type {Uint8Array | undefined} */
  #heartbeat;

  /**
   * Remembers one snapshot that was applied.
   *
   * Costs as much memory as the base, outside wasm. Of the deltas at most a few megabytes are
   * kept: without the rest a replaced instance is undecided until the next round, never wrong.
   *
   * @param {string} applied @param {Uint8Array} bytes @param {boolean} moved the position grew
   */
  remember(applied, bytes, moved) {
    // A base that repeats the one held proves freshness too; it is not kept twice.
    const isHeartbeat = applied === "refreshed" && bytes.byteLength <= MAX_HEARTBEAT_BYTES;
    if (isHeartbeat) this.#heartbeat = bytes;
    if (applied === "replaced" || (applied === "refreshed" && !isHeartbeat)) {
      this.#base = bytes;
      if (moved) this.#forgetDeltas();
    }
    if (applied === "extended") {
      if (this.#deltasBytes + bytes.byteLength > MAX_DELTAS_BYTES) return;
      this.#deltas.push(bytes);
      this.#deltasBytes += bytes.byteLength;
    }
  }

  /** Everything to apply again, oldest first. */
  *snapshots() {
    if (this.#base !== undefined) yield this.#base;
    yield* this.#deltas;
    if (this.#heartbeat !== undefined) yield this.#heartbeat;
  }

  #forgetDeltas() {
    this.#deltas = [];
    this.#deltasBytes = 0;
    this.#heartbeat = undefined;
  }
}

const MAX_HEARTBEAT_BYTES = 4096;
const MAX_DELTAS_BYTES = 8 * 1024 * 1024;
