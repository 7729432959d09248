// The tokens whose signature and claims were valid, so that the next verdict on one of them only checks time
// and revocations. Bounded, and looked up by every byte of the token.

import { NO_SLOT } from "./layout.js";

/**
 * @typedef {object} Entry
 * @property {number} slot where wasm holds what is left to judge
 * @property {string} token
 * @property {import("../index.d.ts").Claims} claims
 * @property {string} claimsJson the payload they were read from
 * @property {number} bucket
 * @property {Entry | undefined} next in the same bucket
 * @property {boolean} isUsed since it was last passed over
 */

export class Remembered {
  #capacity;
  /** @type {(Entry | undefined)[]} */
  #buckets = [];
  /** @type {(Entry | undefined)[]} */
  #slots = [];
  #mask = 0;
  #characters = 0;
  /** Where the search for a slot continues. */
  #hand = 0;
  /** The slot that the next token gets. @type {number | undefined} */
  #reserved;

  /** @param {number} capacity how many tokens; 0 to remember none */
  constructor(capacity) {
    this.#capacity = capacity;
    this.clear();
  }

  /**
   * The entry of exactly this token.
   *
   * A few characters of the signature, which are practically random, select the bucket; hashing the whole
   * token, as a Map does, costs more than everything else. The comparison of the whole token decides.
   *
   * @param {string} token
   */
  find(token) {
    let entry = this.#buckets[hash(token) & this.#mask];
    while (entry !== undefined && entry.token !== token) entry = entry.next;
    if (entry !== undefined) entry.isUsed = true;
    return entry;
  }

  /**
   * The slot of the next valid token. Its present entry stays until then: refused tokens displace nothing.
   */
  reserve() {
    if (this.#capacity === 0) return NO_SLOT;
    this.#reserved ??= this.#pass();
    return this.#reserved;
  }

  /** Forgets the token in the reserved slot: wasm has replaced its state by that of another token. */
  vacate() {
    if (this.#reserved !== undefined) this.#forget(this.#slots[this.#reserved]);
  }

  /**
   * Remembers a token in the slot that was reserved.
   *
   * @param {string} token @param {Entry["claims"]} claims @param {string} claimsJson
   */
  put(token, claims, claimsJson) {
    if (this.#capacity === 0) return;
    const slot = this.reserve();
    this.vacate();
    // Several requests may have found the same token valid at the same time.
    if (this.find(token) !== undefined) return;
    this.#reserved = undefined;
    const bucket = hash(token) & this.#mask;
    const entry = { slot, token, claims, claimsJson, bucket, next: this.#buckets[bucket], isUsed: false };
    this.#buckets[bucket] = entry;
    this.#slots[slot] = entry;
    this.#characters += token.length;
    // Long tokens must not take more than their share.
    while (this.#characters > this.#capacity * MEAN_CHARACTERS) this.#forget(this.#slots[this.#pass()]);
  }

  clear() {
    let size = 16;
    while (size < this.#capacity * 2) size *= 2;
    this.#mask = size - 1;
    this.#buckets = new Array(size).fill(undefined);
    this.#slots = new Array(this.#capacity).fill(undefined);
    this.#characters = 0;
    this.#hand = 0;
    this.#reserved = undefined;
  }

  /** The next slot that is empty, or whose token was not used since the last pass. */
  #pass() {
    for (;;) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.#capacity ? 0 : slot + 1;
      const entry = this.#slots[slot];
      if (entry === undefined || !entry.isUsed) return slot;
      entry.isUsed = false;
    }
  }

  /** @param {Entry | undefined} entry */
  #forget(entry) {
    if (entry === undefined) return;
    const { bucket, next, slot, token } = entry;
    let link = this.#buckets[bucket];
    if (link === entry) this.#buckets[bucket] = next;
    while (link !== undefined) {
      if (link.next === entry) link.next = next;
      link = link.next;
    }
    this.#slots[slot] = undefined;
    this.#characters -= token.length;
  }
}

/** From the end of the signature, without the very last character, which has few bits. */
function hash(/** @type {string} */ token) {
  const end = token.length;
  let sum = 0;
  for (let at = end - 7; at < end - 1; at += 1) sum = (sum * 67 + token.charCodeAt(at)) | 0;
  return sum ^ (sum >>> 13);
}

/** The largest average length of the remembered tokens, in characters. */
const MEAN_CHARACTERS = 1024;
