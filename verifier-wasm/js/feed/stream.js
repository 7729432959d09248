// The feed as server-sent events (WHATWG HTML section 9.2), read within bounds: no line, no event and no
// silence may exceed its limit.

import { decodeBase64 } from "./base64.js";
import { FetchError, boundedResponse } from "./bounded-fetch.js";
import { HEAD_BYTES } from "../engine/layout.js";

/**
 * @typedef {import("./bounded-fetch.js").Limits & { preview?: (head: Uint8Array) => void }} StreamLimits
 *   `preview` throws a FetchError if a snapshot of the feed cannot begin like that.
 *
 * @typedef {{ event: string, data: string }} Notice An event that is not a snapshot: `fetch` where the
 *   next snapshot is too large for an event, `stream` for the server's notice about the stream.
 */

/**
 * The snapshots and notices of a stream, until it ends. `timeoutSeconds` is the longest time from one
 * complete event to the next.
 *
 * @param {string} url
 * @param {StreamLimits} limits
 * @returns {AsyncGenerator<Uint8Array | Notice, void, void>}
 */
export async function* followEvents(url, limits) {
  const silence = new AbortController();
  const wait = () => setTimeout(() => silence.abort(), limits.timeoutSeconds * 1000);
  const signal = AbortSignal.any([silence.signal, ...(limits.signal ? [limits.signal] : [])]);
  let timer = wait();
  /** @type {ReadableStreamDefaultReader<Uint8Array> | undefined} */
  let reader;
  const cancel = () => void reader?.cancel().catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  try {
    const how = { ...limits, accept: EVENTS_TYPE, contentTypes: [EVENTS_TYPE], signal };
    const { body } = await boundedResponse(url, how);
    reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
    const events = new EventReader(limits);
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw new FetchError("the stream fell silent");
      if (done) return;
      for (const event of events.read(value)) {
        clearTimeout(timer);
        yield event;
        timer = wait();
      }
    }
  } catch (cause) {
    if (cause instanceof FetchError) throw cause;
    throw new FetchError("the stream broke off", { cause });
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", cancel);
    cancel();
  }
}

/** Puts events together from the pieces they arrive in. */
class EventReader {
  #decoder = new TextDecoder();
  #maxBytes;
  #preview;
  /** The incomplete line. */
  #rest = "";
  #data = "";
  #event = "";
  /** True once the first bytes of this event's data were found to be a snapshot's. */
  #isPromising = false;

  /** @param {StreamLimits} limits of which `maxBytes` bounds one snapshot */
  constructor({ maxBytes, preview }) {
    this.#maxBytes = Math.min(maxBytes, MAX_EVENT_BYTES);
    this.#preview = preview;
  }

  /** @param {Uint8Array} piece @returns {Generator<Uint8Array | Notice>} */
  *read(piece) {
    const text = this.#decoder.decode(piece, { stream: true });
    this.#rest += text;
    // Searched only once it has whole lines; a CR at the end may be half of a line end.
    if (/[\r\n]/.test(text)) {
      const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
      this.#rest = /** @type {string} */ (lines.pop());
      for (const line of lines) {
        if (line.startsWith("data:")) this.#data += line.slice(5).trim();
        else if (line.startsWith("event:")) this.#event = line.slice(6).trim();
        else if (line === "") yield* this.#dispatch();
      }
    }
    if (this.#rest.length + this.#data.length > this.#maxBytes * BASE64_SIZE + MAX_OTHER_CHARACTERS) {
      throw new FetchError(TOO_LARGE);
    }
    this.#look();
  }

  /** @returns {Generator<Uint8Array | Notice>} */
  *#dispatch() {
    const [event, data] = [this.#event || SNAPSHOT, this.#data];
    this.#event = this.#data = "";
    this.#isPromising = false;
    if (data === "") return;
    if (event === SNAPSHOT) yield decode(data, this.#maxBytes);
    else if (data.length <= MAX_OTHER_CHARACTERS) yield { event, data };
  }

  /** Checks the beginning of a snapshot's data as soon as it is there, long before the event is complete. */
  #look() {
    if (this.#isPromising || this.#preview === undefined || (this.#event || SNAPSHOT) !== SNAPSHOT) return;
    if (this.#rest.length + this.#data.length < HEAD_CHARACTERS) return;
    const line = this.#rest.startsWith("data:") ? this.#rest.slice(5).trimStart() : "";
    const begun = this.#data + line;
    if (begun.length < HEAD_CHARACTERS) return;
    this.#preview(decode(begun.slice(0, HEAD_CHARACTERS), HEAD_BYTES));
    this.#isPromising = true;
  }
}

/** @param {string} base64 @param {number} maxBytes @returns {Uint8Array} */
function decode(base64, maxBytes) {
  let bytes;
  try {
    bytes = decodeBase64(base64);
  } catch {
    throw new FetchError("the event is not base64");
  }
  if (bytes.length > maxBytes) throw new FetchError(TOO_LARGE);
  return bytes;
}

const EVENTS_TYPE = "text/event-stream";
const SNAPSHOT = "snapshot";
const TOO_LARGE = "the event is too large";
/** The control plane sends no larger event: `MAX_EVENT_BYTES` of publish.rs. */
const MAX_EVENT_BYTES = 3 * 1024 * 1024;
const BASE64_SIZE = 1.4;
/** The first bytes of a snapshot in base64. */
const HEAD_CHARACTERS = Math.floor(HEAD_BYTES / 3) * 4;
/** Of an event, in addition to its data. */
const MAX_OTHER_CHARACTERS = 1024;
