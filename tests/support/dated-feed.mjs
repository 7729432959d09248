// A control plane in virtual time: every second has its own signed statement, so that tests can observe
// freshness. The log has one revocation, of the token "token".

import { createVerifier } from "offswitch";
import { SNAPSHOT_TYPE, eventOf, optionsOf, streamEvent } from "./feed.mjs";
import { mint, sign, signingKey } from "./fixture.mjs";
import { VirtualTime } from "./virtual-time.mjs";

const SECONDS = 260;
const BEGIN_SECONDS = 1_800_000_000;
const key = await signingKey("EdDSA");
const at = (second) => ({
  issued_at: BEGIN_SECONDS + second, valid_until: BEGIN_SECONDS + second + 600,
});
const seconds = Array.from({ length: SECONDS }, (_, second) => second);
const { publicKey, snapshots } = sign([
  ...seconds.map((second) => ({ to: 1, ...at(second) })),
  ...seconds.map((second) => ({ from: 1, to: 1, ...at(second) })),
  ...seconds.map((second) => ({ from: 1, to: 2, tokens: ["token"], ...at(second) })),
  ...seconds.map((second) => ({ from: 2, to: 2, ...at(second) })),
]);
const [bases, beats, deltas, laterBeats] =
  [0, 1, 2, 3].map((kind) => snapshots.slice(kind * SECONDS, (kind + 1) * SECONDS));
const claims = { iat: BEGIN_SECONDS - 3600, exp: BEGIN_SECONDS + 86_400 };
export const token = await mint(key, claims);

export class DatedFeed {
  isUp = true;
  /** The second from which the token is revoked. */
  revokedAt = Infinity;
  /** By how many seconds the control plane's clock is ahead. */
  ahead = 0;
  heartbeatSeconds = 2;
  /** The behaviour of a proxy with an answer to a long poll: `(wait, answer) => Promise<Response>`. */
  proxy = (_, answer) => answer();
  /** The behaviour of a proxy with the events of a stream: gets the text, and sends it on. */
  buffer = (text, send) => send(text);
  /** Set to false to refuse streams. */
  hasStreams = true;
  polls = 0;
  streams = 0;
  #held = new Set();

  constructor() {
    this.time = new VirtualTime((url, request) => this.#answer(url, request));
  }

  get seconds() {
    return Math.floor(this.time.now / 1000);
  }

  /** @param {object} feed options */
  async verifier(feed, more = {}) {
    const parts = { key, publicKey, url: "http://feed.test/feed" };
    return createVerifier(optionsOf(parts, more, { maxStaleness: 60, ...feed }));
  }

  /** Breaks all connections, and accepts no new ones. */
  goDown() {
    this.isUp = false;
    for (const fail of [...this.#held]) fail();
  }

  stop() {
    this.time.stop();
  }

  /** The snapshot that continues from a position. @param {string | null} since */
  #snapshot(since) {
    const second = Math.min(this.seconds + this.ahead, SECONDS - 1);
    const isRevoked = this.seconds >= this.revokedAt;
    if (since === null) return bases[second];
    if (since === "1.2") return laterBeats[second];
    return (isRevoked ? deltas : beats)[second];
  }

  async #answer(url, { headers, signal }) {
    if (!this.isUp) throw new TypeError("connection refused");
    const isStream = url.pathname.endsWith("/stream");
    if (isStream && !this.hasStreams) return new Response(null, { status: 404 });
    if (isStream) return this.#stream(headers["last-event-id"] ?? null, signal);
    this.polls += 1;
    const wait = Number(url.searchParams.get("wait") ?? 0);
    const answer = async () => {
      await this.#hold(url.searchParams.get("since"), wait);
      const body = this.#snapshot(url.searchParams.get("since"));
      return new Response(body, { headers: { "content-type": SNAPSHOT_TYPE } });
    };
    return wait > 0 ? this.proxy(wait, answer) : answer();
  }

  /** Waits until there is news, or for this long. */
  async #hold(since, wait) {
    const end = this.time.now + wait * 1000;
    let isLost = false;
    const lose = () => { isLost = true; };
    this.#held.add(lose);
    while (this.time.now < end && !(since === "1.1" && this.seconds >= this.revokedAt) && !isLost) {
      await new Promise((resume) => setTimeout(resume, 100));
    }
    this.#held.delete(lose);
    if (isLost) throw new TypeError("connection reset");
  }

  #stream(since, signal) {
    this.streams += 1;
    let at = since;
    let timer;
    const body = new ReadableStream({
      start: (controller) => {
        const send = (text) => controller.enqueue(new TextEncoder().encode(text));
        const end = () => {
          clearTimeout(timer);
          this.#held.delete(end);
          try { controller.error(new TypeError("connection reset")); } catch { /* it is over */ }
        };
        this.#held.add(end);
        signal.addEventListener("abort", end);
        let beatAt = this.time.now;
        this.buffer(streamEvent(this.heartbeatSeconds), send);
        const step = () => {
          const isNews = at === "1.1" && this.seconds >= this.revokedAt;
          if (isNews || this.time.now >= beatAt) {
            this.buffer(eventOf(this.#snapshot(at)), send);
            at = at === "1.2" || isNews ? "1.2" : "1.1";
            beatAt = this.time.now + this.heartbeatSeconds * 1000;
          }
          timer = setTimeout(step, 100);
        };
        step();
      },
      cancel: () => clearTimeout(timer),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
}
