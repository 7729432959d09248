// The network of a simulation: one publisher, points of presence with a cache each, and losses.

import { chance } from "../support/chance.mjs";

/** Round trips, milliseconds: the minimum, and the maximum addition. */
const TO_CACHE = { least: 4, spread: 16 };
const TO_ORIGIN = { least: 20, spread: 140 };
/** The maximum difference of two round trips on one path. */
const JITTER_MS = 20;
/** From the answer to a revocation until a store has the head with it. */
export const PUBLISH_SECONDS = 0.3;
const FILE = /^\/feed\/(head|(?:bases|deltas)\/.*)$/;
/** @typedef {{ file?: string, since: string | null, waitSeconds: number }} Asked */
/** How long a cache waits for the publisher. */
const CACHE_TIMEOUT_MS = 2000;

export const LONGEST_TO_CACHE = (TO_CACHE.least + TO_CACHE.spread + JITTER_MS) / 1000;
export const LONGEST_TO_ORIGIN = (TO_ORIGIN.least + TO_ORIGIN.spread + JITTER_MS) / 1000;

/** The publisher answers at any rate: the simulation measures the load that it gets. */
export class Origin {
  /** The time of each request, seconds, and the size of each answer. */
  arrivals = [];
  bytes = 0;
  /** The most requests that waited for news at the same time. */
  mostHeld = 0;
  isUp = true;
  #downAt = 0;
  #log;
  #now;
  /** @type {Set<{ answer: () => void, fail: () => void }>} */
  #held = new Set();

  /** @param {import("./log.mjs").Log} log @param {() => number} now seconds */
  constructor(log, now) {
    this.#log = log;
    this.#now = now;
  }

  /** Resolves with an answer, or rejects if a connection is refused or broken. @param {Asked} asked */
  answer({ file, since, waitSeconds }) {
    this.arrivals.push(this.#now());
    if (file !== undefined) return this.#stored(file);
    if (!this.isUp) throw new TypeError("connection refused");
    if (waitSeconds === 0 || since !== this.#log.position) return this.#snapshot(since);
    return new Promise((resolve, reject) => {
      const end = (finish) => () => {
        clearTimeout(timer);
        this.#held.delete(held);
        finish();
      };
      const answer = end(() => resolve(this.#snapshot(since)));
      const held = { answer, fail: end(() => reject(new TypeError("connection reset"))) };
      const timer = setTimeout(answer, waitSeconds * 1000);
      this.#held.add(held);
      this.mostHeld = Math.max(this.mostHeld, this.#held.size);
    });
  }

  revoke() {
    this.#log.revoke(this.#now());
    for (const held of [...this.#held]) held.answer();
  }

  goDown() {
    this.isUp = false;
    this.#downAt = this.#now();
    for (const held of [...this.#held]) held.fail();
  }

  comeBack(era) {
    this.#log.restart(this.#now(), era);
    this.isUp = true;
  }

  #snapshot(since) {
    const { bytes, era, issuedAt, to } = this.#log.snapshot(since, this.#now());
    this.bytes += bytes.length;
    // Like the control plane's tag: the position and the time of the signature.
    return { bytes, isPart: false, tag: `${era}.${to}-${issuedAt}` };
  }

  /** A store stays up while the publisher is down: nothing newer is written. */
  #stored(file) {
    const written = (this.isUp ? this.#now() : this.#downAt) - PUBLISH_SECONDS;
    const found = this.#log.file(file, Math.max(0, written));
    this.bytes += found.bytes.length;
    return found;
  }
}

/** One point of presence: its path to the publisher, and a cache if the scenario has caches. */
export class Presence {
  /** How many requests it got. */
  requests = 0;
  isCutOff = false;
  #cache;
  /** By address: the answer and its time. */
  #entries = new Map();
  /** By address: the request in progress, which all requests in the meantime share. */
  #underWay = new Map();
  #losses;
  #now;
  #origin;
  #random;
  #roundTrip;

  /**
   * @param {Origin} origin @param {() => number} now seconds
   * @param {{ cache?: { ttl: number, staleIfError: number }, losses: number, seed: number }} how
   */
  constructor(origin, now, { cache, losses, seed }) {
    this.#origin = origin;
    this.#now = now;
    this.#cache = cache;
    this.#losses = losses;
    this.#random = chance(seed);
    this.#roundTrip = TO_ORIGIN.least + this.#random() * TO_ORIGIN.spread;
  }

  /** @param {Asked} asked */
  async answer(asked) {
    this.requests += 1;
    if (this.#cache === undefined) return this.#fetch(asked);
    const key = asked.file ?? asked.since;
    const known = this.#entries.get(key);
    // Parts have names that no other content gets.
    if (known && (known.found.isPart || this.#now() - known.at < this.#cache.ttl)) return known.found;
    let fetching = this.#underWay.get(key);
    if (fetching === undefined) {
      fetching = this.#refill(key, { ...asked, waitSeconds: 0 }).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, fetching);
    }
    return fetching;
  }

  async #refill(key, asked) {
    try {
      const late = after(CACHE_TIMEOUT_MS).then(() => Promise.reject(new TypeError("timed out")));
      const found = await Promise.race([this.#fetch(asked), late]);
      this.#entries.set(key, { at: this.#now(), found });
      return found;
    } catch (error) {
      const known = this.#entries.get(key);
      const age = known ? this.#now() - known.at : Infinity;
      if (age < this.#cache.ttl + this.#cache.staleIfError) return known.found;
      throw error;
    }
  }

  /** @param {Asked} asked */
  async #fetch(asked) {
    await delayOrLoss(this.#losses, this.#random, this.isCutOff);
    const half = (this.#roundTrip + this.#random() * JITTER_MS) / 2;
    await after(half);
    try {
      return await this.#origin.answer(asked);
    } finally {
      await after(half);
    }
  }
}

/** The path of one isolate to its point of presence. */
export class Way {
  #losses;
  #presence;
  #random;
  #roundTrip;

  /** @param {Presence} presence @param {{ losses: number, seed: number }} how */
  constructor(presence, { losses, seed }) {
    this.#presence = presence;
    this.#losses = losses;
    this.#random = chance(seed);
    this.#roundTrip = TO_CACHE.least + this.#random() * TO_CACHE.spread;
  }

  /** @param {URL} url @param {RequestInit} request */
  async answer(url, { headers }) {
    await delayOrLoss(this.#losses, this.#random, false);
    const half = (this.#roundTrip + this.#random() * JITTER_MS) / 2;
    await after(half);
    const since = url.searchParams.get("since");
    const waitSeconds = Number(url.searchParams.get("wait") ?? 0);
    const file = FILE.exec(url.pathname)?.[1];
    let answer = FAILED;
    try {
      const found = await this.#presence.answer({ file, since, waitSeconds });
      const tag = `"${found.tag}"`;
      const isKnown = headers["if-none-match"] === tag;
      answer = isKnown ? answerOf(304, undefined, tag) : answerOf(200, found.bytes, tag);
    } catch {
      // A cache or proxy in between reports it with a status.
    }
    await after(half);
    return answer;
  }
}

/** A lost request is either reset immediately or never answered, equally often. */
function delayOrLoss(share, random, isCutOff) {
  if (isCutOff) return new Promise(() => {});
  if (share === 0) return undefined;
  const drawn = random();
  if (drawn < share / 2) return new Promise(() => {});
  if (drawn < share) throw new TypeError("connection reset");
  return undefined;
}

/** The members of a Response that the feed client reads: a real one would take half of the time. */
function answerOf(status, bytes, tag = null) {
  const headers = { "content-type": SNAPSHOT_TYPE, etag: tag };
  return {
    status,
    headers: { get: (name) => headers[name] ?? null },
    body: bytes === undefined ? null : { getReader: () => readerOf(bytes) },
  };
}

function readerOf(bytes) {
  let next = { done: false, value: bytes };
  return {
    cancel: async () => {},
    read: async () => {
      const read = next;
      next = { done: true, value: undefined };
      return read;
    },
  };
}

const after = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

const SNAPSHOT_TYPE = "application/octet-stream";
const FAILED = answerOf(502, undefined);
