// Whether the events of a stream arrive in time. A proxy that buffers or compresses may hold them back for
// seconds or minutes while the connection looks healthy.

export class Pulse {
  #heartbeatSeconds = DEFAULT_HEARTBEAT_SECONDS;
  /** When the last event arrived, by the monotonic clock; undefined without a stream that sends any. @type {number | undefined} */
  #eventAt;
  /** Since when all events are in time. */
  #goodSince = 0;
  #isTrusted = true;
  /** True until a stream that was opened has sent an event. */
  #isFirst = true;
  /** How late the last event was, seconds; null before there was one. @type {number | null} */
  latenessSeconds = null;

  /** A stream has started. */
  opened() {
    this.#heartbeatSeconds = DEFAULT_HEARTBEAT_SECONDS;
    this.#isFirst = true;
  }

  /**
   * The server's notice about its stream.
   *
   * @param {string} data of the event @returns {number | undefined} seconds from one heartbeat to the next
   */
  beats(data) {
    const seconds = Number(/"heartbeat_seconds":\s*(\d{1,4})\b/.exec(data)?.[1]);
    if (!(seconds >= 1 && seconds <= MAX_HEARTBEAT_SECONDS)) return undefined;
    this.#heartbeatSeconds = seconds;
    return seconds;
  }

  /** An event has arrived. @param {number} delay from its signature to now, seconds */
  noteEvent(delay) {
    const now = seconds();
    const isSilent = this.silentSeconds > this.patienceSeconds;
    this.latenessSeconds = Math.max(0, delay);
    // A relay signs nothing: it starts with the heartbeat that reached it last.
    const age = this.#isFirst ? this.#heartbeatSeconds : 0;
    this.#isFirst = false;
    // What a poll brought in the meantime does not count for the stream.
    if (isSilent || this.latenessSeconds > LATE_SECONDS + age) {
      this.#goodSince = now;
      this.#isTrusted = false;
    } else if (now - this.#goodSince >= Math.max(10, 3 * this.#heartbeatSeconds)) {
      this.#isTrusted = true;
    }
    this.#eventAt = now;
  }

  /** The stream has ended. */
  closed() {
    this.#eventAt = undefined;
  }

  /** True while all events of a stream are in time. */
  get isTimely() {
    if (this.#eventAt === undefined) return false;
    if (this.silentSeconds > this.patienceSeconds) this.#isTrusted = false;
    return this.#isTrusted;
  }

  /** True if a stream brings events, but late. */
  get isLate() {
    return this.#eventAt !== undefined && !this.isTimely;
  }

  /** Seconds since the last event. */
  get silentSeconds() {
    return this.#eventAt === undefined ? 0 : seconds() - this.#eventAt;
  }

  /** How long a stream may be silent, seconds. */
  get patienceSeconds() {
    return this.#heartbeatSeconds * 1.5 + 1;
  }
}

const seconds = () => performance.now() / 1000;

/** Of a server that does not name it. */
const DEFAULT_HEARTBEAT_SECONDS = 10;
/** The control plane's `heartbeat_seconds` cannot be more. */
const MAX_HEARTBEAT_SECONDS = 60;
/** A snapshot's time has whole seconds, and the signing process may be slightly behind. */
const LATE_SECONDS = 4;
