// One address of the feed: the last request to it, and its behaviour.

import { Backoff } from "./backoff.js";

export class Source {
  #apiKey;
  #introduce;
  #url;
  polls = new Backoff();
  /** Streams have their own backoff, because they may be blocked where polls are not. */
  streams = new Backoff();
  /** The result of the last request. @type {{ href: string, etag: string } | undefined} */
  seen;
  /** For how long a long poll is not cut off on the way, as far as is known. */
  holdSeconds = Infinity;

  /**
   * @param {string} url @param {string | undefined} apiKey is sent to this address only
   * @param {() => string} introduce what the follower says about itself where it sends a key
   * @param {unknown} [head] of a feed that is published as files, in the form of the options
   */
  constructor(url, apiKey, introduce, head) {
    this.#apiKey = apiKey;
    this.#introduce = introduce;
    this.head = head;
    this.#url = url;
  }

  get url() {
    return this.#url;
  }

  /** @param {string} path below the feed's address @param {string} [since] @param {number} [waitSeconds] */
  address(path, since, waitSeconds = 0) {
    const address = new URL(this.#url);
    address.pathname = address.pathname.replace(/\/+$/, "") + path;
    if (since !== undefined) address.searchParams.set("since", since);
    if (since !== undefined && waitSeconds >= 1) {
      address.searchParams.set("wait", String(Math.floor(waitSeconds)));
    }
    return address.href;
  }

  /** @param {Record<string, string> | "" | undefined} more */
  headers(more) {
    const own = this.#apiKey && { authorization: `Bearer ${this.#apiKey}`, "offswitch-follower": this.#introduce() };
    return { ...own, ...more };
  }

  /**
   * Learns for how long a long poll is not cut off: a proxy may cut off requests beyond its own limit. If a
   * failure was the reason, the length is increased again step by step.
   *
   * @param {number} seconds it was held @param {boolean} isCut
   */
  learn(seconds, isCut) {
    if (isCut) this.holdSeconds = Math.max(1, seconds * 0.7);
    else if (seconds >= this.holdSeconds * 0.9) this.holdSeconds *= 1.1;
  }
}
