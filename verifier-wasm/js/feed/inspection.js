// Checks a snapshot while it arrives: its first bytes before more is read, and its signature before any of it
// enters wasm's memory, which never shrinks. Verdicts do not depend on this: an applied snapshot is checked
// again as a whole.

import { FetchError } from "./bounded-fetch.js";
import { generation, survive } from "../engine/instance.js";
import { HEAD_BYTES } from "../engine/layout.js";

export class Inspection {
  #engine;
  /** The first bytes, until there are enough of them. */
  #head = new Uint8Array(HEAD_BYTES);
  #size = 0;
  #generation = generation();
  #ticket = 0;

  /** @param {import("../engine/engine.js").Engine} engine */
  constructor(engine) {
    this.#engine = engine;
  }

  /** Takes the next piece. @param {Uint8Array} piece @throws {FetchError} if this is not a snapshot of the feed */
  take(piece) {
    let from = 0;
    if (this.#size < HEAD_BYTES) {
      from = Math.min(piece.byteLength, HEAD_BYTES - this.#size);
      this.#head.set(piece.subarray(0, from), this.#size);
      this.#size += from;
      if (this.#size < HEAD_BYTES) return;
      this.#begin();
    }
    for (; from < piece.byteLength; from += PIECE_BYTES) {
      const part = piece.subarray(from, from + PIECE_BYTES);
      if (this.#isCurrent) survive(() => this.#engine.arrivalGoesOn(this.#ticket, part), () => {});
    }
  }

  /** Ends the check when all has arrived. @throws {FetchError} */
  end() {
    if (this.#size < HEAD_BYTES) this.#begin();
    if (!this.#isCurrent) return;
    refuse(survive(() => this.#engine.arrivalEnds(this.#ticket), () => undefined));
  }

  #begin() {
    const begin = () => this.#engine.arrivalBegins(this.#head.subarray(0, this.#size));
    const begun = survive(begin, () => 0);
    if (typeof begun === "object") refuse(begun);
    else this.#ticket = begun;
    this.#generation = generation();
  }

  /** False once wasm was replaced, and the check in it is gone. */
  get #isCurrent() {
    return this.#ticket !== 0 && this.#generation === generation();
  }
}

/** Checks only the first bytes. @param {import("../engine/engine.js").Engine} engine @param {Uint8Array} head */
export function previewed(engine, head) {
  refuse(survive(() => engine.preview(head.subarray(0, HEAD_BYTES)), () => undefined));
}

/** @param {{ error: string, detail: string } | undefined} problem */
function refuse(problem) {
  if (problem !== undefined) throw new FetchError(problem.detail, { code: problem.error });
}

/** How much is copied to wasm in one step. */
const PIECE_BYTES = 64 * 1024;
