// The tokens whose signature and claims were valid, so that the next verdict on one of them only checks time
// and revocations. Bounded, and looked up by every byte of the token.
//
// A slot is a number: wasm holds under it what is left to judge, and here it is a place in several arrays. One
// object for each token would be one more place in memory for the processor to wait for.

import { NO_SLOT } from "./layout.js";

/** @typedef {import("../index.d.ts").Claims} Claims */

export class Remembered {
  #capacity;
  /** Of each slot: the token. @type {(string | undefined)[]} */
  #tokens = [];
  /** Of each slot: the claims of its token. @type {any[]} */
  claims = [];
  /** Of each slot: the payload that the claims were read from. @type {any[]} */
  claimsJson = [];
  /** Of each slot: whether its token was used since it was last passed over. */
  #isUsed = new Uint8Array();
  /** The slot after each slot in its bucket, or NONE; then the first slot of each bucket. */
  #links = new Int32Array();
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
   * The slot of exactly this token, or NONE.
   *
   * A few characters of the signature, which are practically random, select the bucket; hashing the whole
   * token, as a Map does, costs more than everything else. The comparison of the whole token decides.
   *
   * @param {string} token
   */
  find(token) {
    const links = this.#links;
    const tokens = this.#tokens;
    let slot = links[this.#bucket(token)];
    while (slot !== NONE && tokens[slot] !== token) slot = links[slot];
    if (slot !== NONE) this.#isUsed[slot] = 1;
    return slot;
  }

  /**
   * The slot of the next valid token. Its present token stays until then: refused tokens displace nothing.
   */
  reserve() {
    if (this.#capacity === 0) return NO_SLOT;
    return (this.#reserved ??= this.#pass());
  }

  /** Forgets the token in the reserved slot: wasm has replaced its state by that of another token. */
  vacate() {
    if (this.#reserved !== undefined) this.#forget(this.#reserved);
  }

  /**
   * Remembers a token in the slot that was reserved.
   *
   * @param {string} token @param {Claims} claims @param {string} claimsJson
   */
  put(token, claims, claimsJson) {
    if (this.#capacity === 0) return;
    const slot = this.reserve();
    this.vacate();
    // Several requests may have found the same token valid at the same time.
    if (this.find(token) !== NONE) return;
    this.#reserved = undefined;
    const bucket = this.#bucket(token);
    this.#tokens[slot] = token;
    this.claims[slot] = claims;
    this.claimsJson[slot] = claimsJson;
    this.#isUsed[slot] = 0;
    this.#links[slot] = this.#links[bucket];
    this.#links[bucket] = slot;
    this.#characters += token.length;
    // Long tokens must not take more than their share.
    while (this.#characters > this.#capacity * MEAN_CHARACTERS) this.#forget(this.#pass());
  }

  clear() {
    let size = 16;
    while (size < this.#capacity * 2) size *= 2;
    this.#mask = size - 1;
    this.#links = new Int32Array(this.#capacity + size).fill(NONE);
    this.#isUsed = new Uint8Array(this.#capacity);
    // They grow as slots are used, in order.
    this.#tokens = [];
    this.claims = [];
    this.claimsJson = [];
    this.#characters = 0;
    this.#hand = 0;
    this.#reserved = undefined;
  }

  /** The next slot that was not used since the last pass; it may be empty. */
  #pass() {
    for (;;) {
      const slot = this.#hand;
      this.#hand = slot + 1 === this.#capacity ? 0 : slot + 1;
      if (this.#isUsed[slot] === 0) return slot;
      this.#isUsed[slot] = 0;
    }
  }

  /** @param {number} slot */
  #forget(slot) {
    const token = this.#tokens[slot];
    if (token === undefined) return;
    const links = this.#links;
    let before = this.#bucket(token);
    while (links[before] !== slot) before = links[before];
    links[before] = links[slot];
    this.#tokens[slot] = this.claims[slot] = this.claimsJson[slot] = undefined;
    this.#characters -= token.length;
  }

  /** By the end of the signature, without the very last character, which has few bits. @param {string} token */
  #bucket(token) {
    const end = token.length;
    let sum = 0;
    for (let at = end - 7; at < end - 1; at += 1) sum = (Math.imul(sum, 67) + token.charCodeAt(at)) | 0;
    return this.#capacity + ((sum ^ (sum >>> 13)) & this.#mask);
  }
}

/** Instead of a slot. */
export const NONE = -1;
/** The largest average length of the remembered tokens, in characters. */
const MEAN_CHARACTERS = 1024;
