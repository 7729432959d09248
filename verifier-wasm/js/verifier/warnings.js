// Reports snapshots and failures to the listener that the options name. Without one, each kind of
// failure is written once on the console so that a wrong key or address is not silent.

import { unharmed } from "../engine/instance.js";

export class Warnings {
  #onEvent;
  /** The codes that were already shown. @type {Set<string>} */
  #reported = new Set();

  /** @param {((event: import("../index.d.ts").VerifierEvent) => void) | undefined} onEvent */
  constructor(onEvent) {
    this.#onEvent = onEvent;
  }

  /** @param {import("../index.d.ts").VerifierEvent} event @param {string} [url] where it happened */
  report(event, url) {
    if (this.#onEvent !== undefined) return void unharmed(() => this.#onEvent?.(event));
    if (!("error" in event) || this.#reported.has(event.error)) return;
    this.#reported.add(event.error);
    const where = url === undefined ? "" : ` at ${url}`;
    const text = `offswitch: ${event.error}${where}: ${event.detail} (shown once; onEvent gets every failure)`;
    void unharmed(() => console.warn(text));
  }
}
