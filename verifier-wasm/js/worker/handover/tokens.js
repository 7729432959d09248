// The access tokens that this isolate holds for browsers, by handle, and which request fetches the next.
//
// Requests share values, never promises: a request that needs a token which another one fetches looks
// for it in short steps of its own. The right to fetch is a lease with an end, so a request that is
// cut off delays no other for longer.

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
  // Two maps: handles that somebody made up never push out the token of a real session.
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
   * A token about to expire is renewed after the answer: `waitUntil` lets a fetch go on although
   * its request is over or was cut off.
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
        // A token that is still good does not wait for the next one, nor for its failure.
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
   * Gives a token up that the verifier refuses, so that the next one is fetched. False where that
   * has been tried a moment ago: then a further token would fare no better.
   *
   * @param {string} handle @param {string} token
   */
  drop(handle, token) {
    const entry = this.#entry(handle);
    if (entry.held?.token !== token) return true; // another request was faster
    const now = Date.now();
    if (now - entry.droppedAt < DROP_PAUSE_MS) return false;
    entry.held = undefined;
    entry.droppedAt = now;
    return true;
  }

  /** Remembers for a moment that a session is over. @param {string} handle */
  end(handle) {
    this.#end(handle, this.#entry(handle));
  }

  /** Takes the lease and asks; the answer is left in the entry. */
  async #fetch(/** @type {string} */ handle, /** @type {Entry} */ entry) {
    const lease = Date.now() + LEASE_MS;
    entry.leaseUntil = lease;
    const answer = await refresh(this.#plane, handle);
    const isOurs = entry.leaseUntil === lease;
    if (isOurs) entry.leaseUntil = 0;
    if ("refused" in answer) return this.#end(handle, entry);
    if ("unreachable" in answer) {
      // If another request took over, it knows better.
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

/** What a fetch left behind. @param {Entry} entry @returns {Found} */
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

/** What one map holds; the oldest is pushed out. */
const MAX_ENTRIES = 10_000;
/** A token is renewed this long before it expires, or a tenth of its life if that is less. */
const EARLY_MS = 30_000;
/** How long one fetch keeps the others waiting. Less than the fetch may take: a request that waits for an
 * answer that never comes should not have to share its fate. */
const LEASE_MS = 3_000;
/** How long a request waits for others, all in all: time for one of them to take over. */
const WAIT_MS = 5_000;
const STEP_MS = 25;
/** How long a control plane that failed is spared, for one handle. */
const RETRY_MS = 1_000;
const DROP_PAUSE_MS = 1_000;
const ENDED_MS = 5_000;
