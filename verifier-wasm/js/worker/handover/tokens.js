// The access tokens that this isolate holds for browsers, by handle, and the request that fetches the next one.
//
// Requests share values, never promises: a request that needs a token which another one fetches checks for it
// in short intervals. The right to fetch is a lease with an end, so a request that is cut off delays no other
// for longer.

import { refresh } from "./client.js";

/**
 * @typedef {import("./client.js").AccessToken} AccessToken
 *
 * @typedef {AccessToken & { refreshAt: number, expiresAt: number }} Held Times in milliseconds.
 *
 * @typedef {object} Entry What is known of one handle; times in milliseconds.
 * @property {Held} [held]
 * @property {number} endedUntil the session is over, and until then no request asks again
 * @property {number} leaseUntil one request is fetching a token
 * @property {number} retryAt the last fetch failed, and until then no request tries again
 * @property {number} droppedAt when a token was last given up although it had not expired
 *
 * @typedef {{ held: Held } | { ended: true } | { unreachable: true }} Found
 */

export class HandoverTokens {
  #plane;
  // Two maps: made-up handles never displace the token of a real session.
  /** @type {Map<string, Entry>} */
  #known = new Map();
  /** @type {Map<string, Entry>} */
  #unknown = new Map();

  /** @param {import("./client.js").ControlPlane} plane */
  constructor(plane) {
    this.#plane = plane;
  }

  /**
   * A token that has not expired yet, from memory or from the control plane.
   *
   * A token that expires soon is renewed after the answer: `waitUntil` lets a fetch continue even if its
   * request is over or was cut off.
   *
   * @param {string} handle
   * @param {(work: Promise<unknown>) => void} waitUntil
   * @returns {Promise<Found>}
   */
  async find(handle, waitUntil) {
    const entry = this.#entry(handle);
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const now = Date.now();
      if (now < entry.endedUntil) return { ended: true };
      const { held } = entry;
      if (held && now < held.refreshAt) return { held };
      const isGood = held !== undefined && now < held.expiresAt;
      if (now >= entry.retryAt && now >= entry.leaseUntil) {
        const work = this.#fetch(handle, entry);
        waitUntil(work);
        // A token that is still valid waits neither for the next one nor for its failure.
        if (!isGood) await work;
        return isGood ? { held } : found(entry);
      }
      if (isGood) return { held };
      if (now < entry.retryAt || now >= deadline) return { unreachable: true };
      await new Promise((resume) => setTimeout(resume, STEP_MS));
    }
  }

  /** Holds the token that came with a login. @param {string} handle @param {AccessToken} token */
  keep(handle, token) {
    this.#hold(handle, this.#entry(handle), token);
  }

  /**
   * Drops a token that the verifier refuses, so that the next one is fetched. False if that was tried a moment
   * ago: then another token would not help.
   *
   * @param {string} handle @param {string} token
   */
  drop(handle, token) {
    const entry = this.#entry(handle);
    if (entry.held?.token !== token) return true; // another request has replaced it
    const now = Date.now();
    if (now - entry.droppedAt < DROP_PAUSE_MS) return false;
    entry.held = undefined;
    entry.droppedAt = now;
    return true;
  }

  /** Remembers for a moment that a session has ended. @param {string} handle */
  end(handle) {
    this.#end(handle, this.#entry(handle));
  }

  /** Takes the lease and sends the request; the answer is stored in the entry. */
  async #fetch(/** @type {string} */ handle, /** @type {Entry} */ entry) {
    const lease = Date.now() + LEASE_MS;
    entry.leaseUntil = lease;
    const answer = await refresh(this.#plane, handle);
    const isOurs = entry.leaseUntil === lease;
    if (isOurs) entry.leaseUntil = 0;
    if ("refused" in answer) return this.#end(handle, entry);
    if ("unreachable" in answer) {
      // If another request took over, its result is newer.
      if (isOurs) entry.retryAt = Date.now() + RETRY_MS;
      return;
    }
    // A logout or a newer token may have come in between: it counts.
    const isWanted = Date.now() >= entry.endedUntil && (isOurs || entry.held === undefined);
    if (isWanted) this.#hold(handle, entry, answer);
  }

  /** @param {string} handle @param {Entry} entry @param {AccessToken} token */
  #hold(handle, entry, token) {
    const now = Date.now();
    const life = token.lifeSeconds * 1000;
    const refreshAt = now + life - Math.min(EARLY_MS, life / 10);
    entry.held = { ...token, refreshAt, expiresAt: now + life };
    entry.retryAt = 0;
    this.#unknown.delete(handle);
    this.#known.delete(handle);
    put(this.#known, handle, entry);
  }

  /** @param {string} handle @param {Entry} entry */
  #end(handle, entry) {
    entry.held = undefined;
    entry.endedUntil = Date.now() + ENDED_MS;
    this.#known.delete(handle);
    this.#unknown.delete(handle);
    put(this.#unknown, handle, entry);
  }

  /** @param {string} handle */
  #entry(handle) {
    const entry = this.#known.get(handle) ?? this.#unknown.get(handle);
    if (entry !== undefined) return entry;
    /** @type {Entry} */
    const made = { droppedAt: 0, endedUntil: 0, leaseUntil: 0, retryAt: 0 };
    put(this.#unknown, handle, made);
    return made;
  }
}

/** The result of a fetch. @param {Entry} entry @returns {Found} */
function found({ endedUntil, held }) {
  const now = Date.now();
  if (now < endedUntil) return { ended: true };
  return held && now < held.expiresAt ? { held } : { unreachable: true };
}

/** @param {Map<string, Entry>} map @param {string} handle @param {Entry} entry */
function put(map, handle, entry) {
  map.set(handle, entry);
  if (map.size > MAX_ENTRIES) map.delete(/** @type {string} */ (map.keys().next().value));
}

/** The limit of one map; the oldest entry is displaced. */
const MAX_ENTRIES = 10_000;
/** A token is renewed this long before it expires, or a tenth of its life if that is less. */
const EARLY_MS = 30_000;
/** How long one fetch makes the others wait. Less than the time limit of the fetch: a request that waits for an
 * answer which never comes must not time out together with it. */
const LEASE_MS = 3_000;
/** How long a request waits for others in total: long enough for one of them to take over. */
const WAIT_MS = 5_000;
const STEP_MS = 25;
/** The pause after a failure of the control plane, for one handle. */
const RETRY_MS = 1_000;
const DROP_PAUSE_MS = 1_000;
const ENDED_MS = 5_000;
