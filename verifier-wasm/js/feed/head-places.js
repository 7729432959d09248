// Where the files of a feed are read: at an address, from a binding of the platform, or from one file.

import { FeedFile, HEAD } from "./feed-file.js";

/**
 * @typedef {import("./client.js").Bounds} Bounds
 * @typedef {import("./source.js").Source} Source
 *
 * @typedef {{ bytes?: Uint8Array, etag?: string | null }} Found Without bytes it is as it was with the given tag.
 * @typedef {import("./client.js").FeedTarget["inspect"]} Inspect
 * @typedef {Pick<typeof import("./bounded-fetch.js"), "FetchError" | "boundedExchange">} Shared
 * @typedef {{ read(name: string, maxBytes: number, etag?: string): Promise<Found> }} Place
 */

/**
 * @param {Source} source @param {Inspect} inspect @param {Bounds} limits @param {Shared} shared
 * @returns {Place}
 */
export function placeOf(source, inspect, limits, shared) {
  const head = /** @type {any} */ (source.head);
  const binding = Object.hasOwn(head, "binding") ? head : { binding: head };
  if (typeof binding.binding.get === "function") return new Binding(binding, limits, shared);
  if (typeof head !== "function" && !ArrayBuffer.isView(head)) return new Site(source, inspect, limits, shared);
  const get = () => (typeof head === "function" ? head() : head);
  return new FeedFile(new Binding({ binding: { get } }, limits, shared), shared.FetchError);
}

/** A head at an address; its parts are below the same folder. @implements {Place} */
class Site {
  #deadline;
  #inspect;
  #limits;
  #shared;
  #source;

  /** @param {Source} source @param {Inspect} inspect @param {Bounds} limits @param {Shared} shared */
  constructor(source, inspect, limits, shared) {
    this.#deadline = new Deadline(limits);
    this.#inspect = inspect;
    this.#limits = limits;
    this.#shared = shared;
    this.#source = source;
  }

  /** @param {string} name @param {number} maxBytes @param {string} [known] */
  async read(name, maxBytes, known) {
    const isHead = name === HEAD;
    const { FetchError, boundedExchange } = this.#shared;
    try {
      const { status, bytes, etag } = await boundedExchange(this.#address(name, isHead), {
        accept: "*/*",
        headers: this.#source.headers(known && { "if-none-match": known }),
        inspect: isHead ? undefined : this.#inspect,
        maxBytes,
        signal: this.#limits.signal,
        statuses: known ? [200, 304] : [200],
        timeoutSeconds: this.#deadline.secondsLeft,
      });
      return status === 304 ? {} : { bytes, etag };
    } catch (cause) {
      if (!(cause instanceof FetchError)) throw cause;
      const { code, retryAfterSeconds, status = 0 } = cause;
      // The advice on other states is about the address of a feed.
      const hinted = [401, 403].includes(status) ? status : undefined;
      const error = new FetchError(`${name}: ${cause.message}`, { cause, code, retryAfterSeconds, status: hinted });
      throw Object.assign(error, { isMissing: status === 404 });
    }
  }

  /** A secret may be in the query. @param {string} name @param {boolean} isHead */
  #address(name, isHead) {
    const { url } = this.#source;
    if (isHead) return url;
    const address = new URL(name, url);
    address.search = new URL(url).search;
    return address.href;
  }
}

/** A namespace of KV, a bucket of R2, or anything else with `get(key)`. @implements {Place} */
class Binding {
  #FetchError;
  #deadline;
  #head;
  #signal;

  /** @param {import("../index.d.ts").HeadPlace} head @param {Bounds} limits @param {Shared} shared */
  constructor(head, limits, { FetchError }) {
    this.#FetchError = FetchError;
    this.#deadline = new Deadline(limits);
    this.#head = head;
    this.#signal = limits.signal;
  }

  /** @param {string} name @param {number} maxBytes @param {string} [known] */
  async read(name, maxBytes, known) {
    const { binding, prefix = "" } = this.#head;
    // The type is for KV, the condition for R2.
    const options = { type: "arrayBuffer", ...(known && { onlyIf: { etagDoesNotMatch: known } }) };
    /** @type {any} */
    const found = await this.#inTime(name, async () => binding.get(prefix + name, options));
    const fails = (/** @type {string} */ problem, isMissing = false) =>
      Object.assign(new this.#FetchError(`${name}: ${problem}`), { isMissing });
    if (found === null || found === undefined) throw fails("there is no such object", true);
    // R2 returns an object without content if the condition does not hold.
    const hasTag = typeof found.etag === "string";
    if (known !== undefined && hasTag && typeof found.arrayBuffer !== "function") return {};
    if (found.size > maxBytes) throw fails(TOO_LARGE);
    const bytes = copied(await this.#inTime(name, async () => found.arrayBuffer?.() ?? found));
    if (bytes === undefined) throw fails("the binding returned neither bytes nor text");
    if (bytes.byteLength > maxBytes) throw fails(TOO_LARGE);
    return { bytes, etag: hasTag ? found.etag : undefined };
  }

  /** @template T @param {string} name @param {() => Promise<T>} work @returns {Promise<T>} */
  async #inTime(name, work) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    /** @type {(() => void) | undefined} */
    let stop;
    const late = new Promise((_, reject) => {
      stop = () => reject(new Error("the binding did not answer in time"));
      timer = setTimeout(stop, this.#deadline.secondsLeft * 1000);
      this.#signal?.addEventListener("abort", stop);
    });
    try {
      return await Promise.race([work(), /** @type {Promise<never>} */ (late)]);
    } catch (cause) {
      throw new this.#FetchError(`${name}: ${cause instanceof Error ? cause.message : cause}`, { cause });
    } finally {
      clearTimeout(timer);
      if (stop) this.#signal?.removeEventListener("abort", stop);
    }
  }
}

/** The head and its parts share the time of one round. */
class Deadline {
  #end;

  /** @param {Bounds} limits */
  constructor({ timeoutSeconds }) {
    this.#end = performance.now() + timeoutSeconds * 1000;
  }

  get secondsLeft() {
    return Math.max(0.001, (this.#end - performance.now()) / 1000);
  }
}

/** A copy: the binding may change its bytes. @param {unknown} content */
function copied(content) {
  if (typeof content === "string") return new TextEncoder().encode(content);
  if (ArrayBuffer.isView(content)) return new Uint8Array(content.buffer, content.byteOffset, content.byteLength).slice();
  const isBuffer = Object.prototype.toString.call(content) === "[object ArrayBuffer]";
  return isBuffer ? new Uint8Array(/** @type {ArrayBuffer} */ (content)) : undefined;
}

const TOO_LARGE = "it is larger than allowed";
