// Many verifiers that follow one feed in virtual time, and the feed they follow.

import { createVerifier } from "offswitch";
import { eventOf, optionsOf, streamEvent } from "./feed.mjs";
import { mint, sign, signingKey } from "./fixture.mjs";
import { VirtualTime } from "./virtual-time.mjs";

const key = await signingKey("EdDSA");
/** In virtual time. */
const YEARS = { issued_at: 1_800_000_000, valid_until: 2_000_000_000 };
const { publicKey, snapshots } = sign([{ to: 1, ...YEARS }, { from: 1, to: 1, ...YEARS }]);
const [base, beat] = snapshots;

/** A valid token of a session that the feed will never have. */
export const ahead = () =>
  mint(key, { iat: YEARS.issued_at, exp: YEARS.issued_at + 86_400, ver: 5000 });

export class Fleet {
  /** Whether the feed accepts connections. */
  isUp = true;
  /** Set to answers instead of the good ones: `() => Response`. */
  polls = undefined;
  streams = undefined;
  /** Whether streams open without a snapshot: with a clock that is set back it would be refused. */
  isMute = false;
  /** The time, the sender and the kind of each request. @type {{ at: number, edge: string, isStream: boolean }[]} */
  requests = [];
  verifiers = [];
  /** The open connections: each ends with an error. @type {Set<() => void>} */
  #held = new Set();

  /** @param {number} size @param {object} feed options of each */
  constructor(size, feed) {
    this.time = new VirtualTime((url, request) => this.#answer(url, request));
    for (let edge = 0; edge < size; edge += 1) {
      setTimeout(() => this.#start(edge, feed), Math.random() * 1000);
    }
  }

  /** Stops the feed for all clients at the same time. */
  breakOff() {
    this.isUp = false;
    for (const fail of [...this.#held]) fail();
  }

  /** How many streams and long polls are open. */
  get held() {
    return this.#held.size;
  }

  stop() {
    for (const verifier of this.verifiers) verifier.close();
    this.time.stop();
  }

  /**
   * The most requests in any interval of this many milliseconds.
   *
   * @param {number} window @param {number} from seconds @param {number} to seconds
   */
  peak(window, from, to = Infinity) {
    const isWithin = (at) => at >= from * 1000 && at < to * 1000;
    const times = this.requests.map(({ at }) => at).filter(isWithin);
    let most = 0;
    for (let first = 0, last = 0; last < times.length; last += 1) {
      while (times[last] - times[first] >= window) first += 1;
      most = Math.max(most, last - first + 1);
    }
    return most;
  }

  /** The longest time without a poll of each edge, seconds, since this second; the shortest first. */
  gaps(from) {
    const last = new Map(this.verifiers.map((_, edge) => [String(edge), from * 1000]));
    const gaps = [];
    const end = this.verifiers.map((_, edge) => ({ at: this.time.now, edge: String(edge) }));
    for (const { at, edge, isStream } of [...this.requests, ...end]) {
      if (isStream || at < from * 1000) continue;
      gaps.push((at - last.get(edge)) / 1000);
      last.set(edge, at);
    }
    return gaps.sort((one, other) => one - other);
  }

  /** The longest of these times. */
  longestGap(from) {
    return this.gaps(from).at(-1);
  }

  async #start(edge, feed) {
    const parts = { key, publicKey, url: `http://feed.test/feed?edge=${edge}` };
    const limits = { timeoutSeconds: 3600, maxStaleness: 86_400, ...feed };
    const more = { rememberedTokens: 0, userRule: "version_else_issued_at" };
    this.verifiers.push(await createVerifier(optionsOf(parts, more, limits)));
  }

  #answer(url, { headers, signal }) {
    const isStream = url.pathname.endsWith("/stream");
    this.requests.push({ at: this.time.now, edge: url.searchParams.get("edge"), isStream });
    if (!this.isUp) throw new TypeError("connection refused");
    if (isStream) return this.streams ? this.streams() : this.#stream(signal);
    if (this.polls) return this.polls();
    const wait = Number(url.searchParams.get("wait") ?? 0);
    return wait > 0 ? this.#hold(wait) : poll(url, headers);
  }

  /** A long poll without news. */
  #hold(seconds) {
    return new Promise((resolve, reject) => {
      const fail = () => {
        this.#held.delete(fail);
        clearTimeout(timer);
        reject(new TypeError("connection reset"));
      };
      const timer = setTimeout(() => {
        this.#held.delete(fail);
        resolve(new Response(beat, { headers: { "content-type": SNAPSHOT_TYPE } }));
      }, seconds * 1000);
      this.#held.add(fail);
    });
  }

  /** A stream without news. Its heartbeats are rare, and no verifier here checks for silence. */
  #stream(signal) {
    let fail;
    const body = new ReadableStream({
      start: (controller) => {
        fail = () => {
          this.#held.delete(fail);
          controller.error(new TypeError("connection reset"));
        };
        this.#held.add(fail);
        const first = streamEvent(60) + (this.isMute ? "" : eventOf(beat));
        controller.enqueue(new TextEncoder().encode(first));
      },
      cancel: () => void this.#held.delete(fail),
    });
    signal.addEventListener("abort", () => this.#held.has(fail) && fail());
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}

/** Most polls bring nothing, and an entity tag avoids all their signatures. */
function poll(url, headers) {
  const since = url.searchParams.get("since");
  if (headers["if-none-match"] === `"${since}"`) return new Response(null, { status: 304 });
  return new Response(since === null ? base : beat, {
    headers: { "content-type": SNAPSHOT_TYPE, etag: `"${since}"` },
  });
}

const SNAPSHOT_TYPE = "application/octet-stream";
