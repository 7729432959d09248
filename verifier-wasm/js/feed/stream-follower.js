// Follows the streams of a feed. It is loaded after the first poll, and only if streams are configured.

import { boundedExchange } from "./bounded-fetch.js";
import { Pulse } from "./pulse.js";
import { followEvents } from "./stream.js";

/**
 * @typedef {import("./client.js").RoundResult} RoundResult
 * @typedef {import("./source.js").Source} Source
 */

export class StreamFollower {
  #client;
  #pulse = new Pulse();
  /** True once it was reported that the stream is late. */
  #isLate = false;
  /** The last question that was not answered yet. @type {string | undefined} */
  #ask;
  #isAnswering = false;

  /** @param {import("./client.js").FeedClient} client */
  constructor(client) {
    this.#client = client;
    client.streams = this;
  }

  /** For how many seconds no poll is needed: a stream is in time. */
  get quietSeconds() {
    if (!this.#pulse.isTimely) return 0;
    const { silentSeconds, patienceSeconds } = this.#pulse;
    const { secondsLeft, settings } = this.#client;
    const untilOld = secondsLeft - (settings.maxStalenessSeconds * 2) / 3;
    return Math.max(0, Math.min(patienceSeconds - silentSeconds, untilOld));
  }

  /** True while a stream is in time. */
  get isStreaming() {
    this.#noticeLateness();
    return this.#pulse.isTimely;
  }

  /** How late the last event was, or how long the stream has been silent; null before there was one. */
  get latenessSeconds() {
    const { isLate, latenessSeconds, silentSeconds } = this.#pulse;
    return latenessSeconds && Math.max(latenessSeconds, isLate ? silentSeconds : 0);
  }

  /**
   * Follows the stream of one address until it ends, fails or falls behind.
   *
   * @param {AbortSignal} signal @param {() => void} onEvent runs after each snapshot
   * @returns {Promise<RoundResult>}
   */
  async follow(signal, onEvent) {
    const source = this.#client.freeForStream;
    if (source === undefined) return { skipped: true };
    const stream = () => this.#stream(source, signal, onEvent);
    const result = await this.#client.attempt(source, source.streams, stream);
    this.#pulse.closed();
    // The end of a stream is no failure, but the next stream may use another address.
    this.#client.next(source);
    return result;
  }

  /**
   * @param {Source} source @param {AbortSignal} signal @param {() => void} onEvent
   * @returns {Promise<RoundResult>}
   */
  async #stream(source, signal, onEvent) {
    const client = this.#client;
    const { settings, target } = client;
    const since = target.since();
    const limits = {
      ...client.limits(source, since && { "last-event-id": since }),
      preview: target.preview,
      signal,
      timeoutSeconds: Math.min(settings.timeoutSeconds, settings.maxStalenessSeconds),
    };
    this.#pulse.opened();
    /** @type {RoundResult} */
    let last = { skipped: true };
    for await (const event of followEvents(source.address("/stream"), limits)) {
      if (!(event instanceof Uint8Array)) {
        // Too large for an event: a poll fetches it.
        if (event.event === "fetch") return { applied: "ignored", wantsPoll: true };
        if (event.event === "position") void this.#answer(event.data, source, signal);
        const seconds = event.event === "stream" ? this.#pulse.beats(event.data) : undefined;
        // Rare heartbeats do not count as silence.
        if (seconds) limits.timeoutSeconds = Math.max(limits.timeoutSeconds, 2 * seconds + 5);
        continue;
      }
      last = client.take(event, source, since);
      if ("error" in last) return last;
      client.succeeded(source.streams);
      this.#pulse.noteEvent((client.secondsSinceIssued ?? NaN) - client.pollDelay);
      this.#noticeLateness();
      onEvent();
      // After too many deltas a base is needed: a poll fetches it.
      if ("applied" in last && last.applied === "extended" && target.since() === undefined) {
        return { ...last, wantsPoll: true };
      }
      if (client.isOld) return { error: "feed_stale", detail: "the stream's snapshots are too old" };
    }
    return last;
  }

  /**
   * Says which position is held: at the control plane a request waits for that. One answer at a time, to the last
   * question.
   *
   * @param {string} ask @param {Source} source @param {AbortSignal} signal
   */
  async #answer(ask, source, signal) {
    this.#ask = ask;
    if (this.#isAnswering) return;
    this.#isAnswering = true;
    const { target } = this.#client;
    try {
      for (let position; this.#ask && (position = target.since());) {
        const body = JSON.stringify({ ask: this.#ask, position });
        this.#ask = undefined;
        const headers = source.headers({ "content-type": JSON_TYPE });
        const limits = { accept: JSON_TYPE, body, headers, maxBytes: 4096, method: "POST", signal, timeoutSeconds: 5 };
        await boundedExchange(source.address("/position"), limits);
      }
    } catch {
      // It is asked again.
    }
    this.#isAnswering = false;
  }

  /** Reports once that a stream is held back on its way; polls bring the missing news. */
  #noticeLateness() {
    const { isLate, isTimely, latenessSeconds, patienceSeconds, silentSeconds } = this.#pulse;
    if (isTimely) this.#isLate = false;
    if (!isLate || this.#isLate) return;
    this.#isLate = true;
    const seconds = Math.round(Math.max(latenessSeconds ?? 0, silentSeconds));
    const detail = `the stream's events come ${seconds} s late or not at all (allowed are ${patienceSeconds} s): `
      + "a proxy may buffer or compress it. The feed is polled meanwhile";
    this.#client.target.report?.({ type: "failure", error: "stream_late", detail });
  }
}

const JSON_TYPE = "application/json";
