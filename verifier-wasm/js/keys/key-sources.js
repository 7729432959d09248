// The key sets of all issuers, and the search for a key that none of them has yet.
//
// A token of an unknown key is refused only if every set it could be in was fetched after the token
// had arrived. Until then, and if a set cannot be fetched, it cannot be decided (invariant 6). A token
// without `kid` names no key, so that one whose signature does not match may be of an unknown key too.

import { unverified } from "../engine/unverified.js";
import { KeySource } from "./key-source.js";

/**
 * @typedef {import("../index.d.ts").Verdict} Verdict
 * @typedef {import("../index.d.ts").RequestOptions} RequestOptions
 */

export class KeySources {
  #accept;
  #sources;
  #report;
  /** Increases with each accepted set. */
  #version = 0;
  /** How many searches began since `#countedFrom`; a count of the running ones would never decrease for
   * requests that are cut off. */
  #searches = 0;
  #countedFrom = -Infinity;

  /**
   * @param {ConstructorParameters<typeof KeySource>[0][]} sources @param {() => number} clock
   * @param {(place: number, jwks: string) => { problem?: string, dropped: string[] }} accept
   * @param {(problem: string) => void} report
   */
  constructor(sources, clock, accept, report) {
    this.#accept = accept;
    this.#report = report;
    this.#sources = sources.map((source) => new KeySource(source, clock));
  }

  /** True once there is a set for every issuer. */
  get areThere() {
    return this.#sources.every((source) => source.jwks !== undefined);
  }

  status() {
    return this.#sources.map((source) => source.status());
  }

  /**
   * Fetches the sets that were not asked for in `olderThanSeconds`; true if one changed.
   *
   * @param {number} olderThanSeconds @param {RequestOptions} [options]
   */
  async refresh(olderThanSeconds, options) {
    const due = this.#sources.filter((source) => source.isOlderThan(olderThanSeconds));
    const now = performance.now();
    const changes = Promise.all(due.map(async (source) => {
      const { jwks } = source;
      // With an age, the result of another request's fetch is enough.
      if (olderThanSeconds > 0 && source.isBusy(now)) await this.#settled(source);
      else await this.#fetch(source, options);
      return source.jwks !== jwks;
    }));
    if (due.length > 0) options?.waitUntil?.(changes);
    return (await changes).includes(true);
  }

  /**
   * Looks for the key of a token: judges again with each new set, until the key is known or no set can have it.
   * Undefined if that cannot be determined now.
   *
   * @param {string} token @param {() => Verdict | Promise<Verdict>} judge
   * @param {RequestOptions} [options]
   * @returns {Promise<Verdict | undefined>}
   */
  async search(token, judge, { signal, timeoutSeconds = SEARCH_SECONDS, waitUntil } = {}) {
    const began = performance.now();
    const end = began + timeoutSeconds * 1000;
    const kid = unverified(token, 0)?.kid;
    const sources = this.#sourcesFor(token);
    let version = this.#version;
    for (let now = began; ; now = performance.now()) {
      const open = sources.filter((source) => source.isOpenAt(began, kid));
      if (open.length === 0) return judge();
      if (now === began && this.#isTooMany(began)) return undefined;
      const isOver = now >= end || now < began; // before it began: the clock was set back
      if (isOver || signal?.aborted || open.every((one) => one.isResting(now))) return undefined;
      // A source in its backoff would return without any I/O, and the search would never yield.
      const free = open.filter((source) => source.waitMs(now) <= 0 && !source.isResting(now));
      // All requests share the fetch: it continues even if the caller that began it gives up or is gone.
      const work = free.map((source) => this.#fetch(source, { timeoutSeconds: SEARCH_SECONDS }));
      for (const one of work) waitUntil?.(one);
      await pause(Math.min(stepOf(open, now), end - now), work);
      if (this.#version === version) continue;
      version = this.#version;
      const verdict = await judge();
      if (!isOfUnknownKey(verdict, token)) return verdict;
    }
  }

  /**
   * The verdict on an unknown key, as far as the issuer's current keys are known.
   *
   * @param {Verdict} verdict @param {string} token
   * @param {boolean} [isOpen] true if a search could not determine that
   * @returns {Verdict}
   */
  doubted(verdict, token, isOpen = false) {
    if (!isOfUnknownKey(verdict, token)) return verdict;
    const now = performance.now();
    const sources = this.#sourcesFor(token);
    const missing = sources.find((source) => source.jwks === undefined);
    const found = missing ?? sources.find((source) => source.doubt(now) !== undefined);
    if (found === undefined && !isOpen) return verdict;
    const reason = found?.doubt(now) ?? "they were not fetched since the token arrived";
    const detail = `the issuer's keys are not known: ${reason}; try again later`;
    const code = missing ? "no_keys" : "keys_unavailable";
    return { outcome: "undecided", code, detail, evidence: verdict.evidence };
  }

  /**
   * The sources that can have the key of a token: those of the issuer that it names. That name is not verified
   * yet. It makes no token valid, it only avoids fetches from other issuers.
   *
   * @param {string} token
   */
  #sourcesFor(token) {
    const claims = unverified(token, 1);
    return claims ? this.#sources.filter(({ issuer }) => issuer === claims.iss) : this.#sources;
  }

  /** @param {KeySource} source @param {RequestOptions} [options] */
  async #fetch(source, options) {
    const place = this.#sources.indexOf(source);
    const problem = await source.refresh((jwks) => {
      const found = this.#accept(place, jwks);
      if (jwks !== source.jwks) this.#version += 1;
      return found;
    }, options);
    if (problem !== undefined) this.#report(problem);
  }

  /**
   * Waits until another request's fetch has ended or timed out.
   *
   * @param {KeySource} source
   */
  async #settled(source) {
    while (source.isBusy(performance.now())) await pause(STEP_MS);
  }

  /** @param {number} now */
  #isTooMany(now) {
    if (Math.abs(now - this.#countedFrom) >= SEARCH_SECONDS * 1000) {
      this.#countedFrom = now;
      this.#searches = 0;
    }
    this.#searches += 1;
    return this.#searches > MAX_SEARCHES;
  }
}

/**
 * True if a newer set may have the key of a token: no set has its `kid`, or it has none and its signature
 * matches no key.
 *
 * @param {Verdict} verdict @param {string} token
 */
export const isOfUnknownKey = ({ code }, token) =>
  code === "unknown_key" || (code === "bad_signature" && unverified(token, 0)?.kid === undefined);

/**
 * How long to wait before looking again: a moment while a fetch is under way, else until one may begin.
 *
 * @param {KeySource[]} open @param {number} now
 */
function stepOf(open, now) {
  const waits = open.map((source) => (source.isBusy(now) ? STEP_MS : source.waitMs(now)));
  return Math.max(STEP_MS, Math.min(...waits));
}

/** Waits this long, or until the first of `work` is done. @param {number} milliseconds @param {Promise<void>[]} [work] */
async function pause(milliseconds, work = []) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  await Promise.race([...work, new Promise((resume) => {
    timer = setTimeout(resume, milliseconds);
  })]);
  clearTimeout(timer);
}

/** The default time limit of a search for a key. */
const SEARCH_SECONDS = 5;
/** This many searches may begin within that time; more are undecided immediately. */
const MAX_SEARCHES = 2_000;
const STEP_MS = 25;
