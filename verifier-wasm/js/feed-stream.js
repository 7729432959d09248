// The feed as server-sent events (WHATWG HTML section 9.2), read within bounds: no line, no event
// and no silence may be longer than is agreed.

import { FetchError, boundedResponse } from "./bounded-fetch.js";

/**
 * The snapshots of a stream, until it ends. `timeoutSeconds` is the longest time from one complete
 * event to the next.
 *
 * @param {string} url
 * @param {import("./bounded-fetch.js").Limits} limits
 * @returns {AsyncGenerator<Uint8Array, void, void>}
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
    const events = new EventReader(limits.maxBytes);
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw new FetchError("the stream fell silent");
      if (done) return;
      for (const bytes of events.read(value)) {
        clearTimeout(timer);
        yield bytes;
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
  /** The line that is still arriving. */
  #rest = "";
  #data = "";

  /** @param {number} maxBytes of one snapshot */
  constructor(maxBytes) {
    this.#maxBytes = maxBytes;
  }

  /** @param {Uint8Array} piece */
  *read(piece) {
    const text = this.#decoder.decode(piece, { stream: true });
    this.#rest += text;
    // Looked through once it has whole lines only; a CR at the end may be half of an end.
    if (/[\r\n]/.test(text)) {
      const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
      this.#rest = /** @type {string} */ (lines.pop());
      for (const line of lines) {
        if (line.startsWith("data:")) this.#data += line.slice(5).trim();
        else if (line === "" && this.#data !== "") {
          yield decode(this.#data, this.#maxBytes);
          this.#data = "";
        }
      }
    }
    if (this.#rest.length + this.#data.length > this.#maxBytes * 1.4 + MAX_OTHER_CHARACTERS) {
      throw new FetchError(TOO_LARGE);
    }
  }
}

/** @param {string} base64 @param {number} maxBytes */
function decode(base64, maxBytes) {
  let bytes;
  try {
    bytes = atob(base64);
  } catch {
    throw new FetchError("the event is not base64");
  }
  if (bytes.length > maxBytes) throw new FetchError(TOO_LARGE);
  return Uint8Array.from(bytes, (character) => character.charCodeAt(0));
}

const EVENTS_TYPE = "text/event-stream";
const TOO_LARGE = "the event is too large";
/** Of an event, beside its data. */
const MAX_OTHER_CHARACTERS = 1024;
