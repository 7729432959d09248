// The verifier in wasm as the rest of the package uses it: it survives traps, remembers tokens, and lets the
// host check signatures where that is faster. Wasm decides, this file passes bytes.

import { WasmVerifier } from "../../pkg/offswitch.js";
import { invalid } from "../options.js";
import { parseExactly } from "./exact-json.js";
import { History } from "./history.js";
import { importKey } from "./host.js";
import { afterError, ensureInstance, generation, instanceMemory } from "./instance.js";
import {
  AT_FLOOR, BEARER, FACTS, FORGOTTEN, HEAD_BYTES, IMPLAUSIBLE, KEY_BITS, MAX_TOKEN_BYTES, NOT_SHOWN, NOT_VALID,
  NO_TICKET, RAISED, SHOWN_WITH_PROOF, SIGNATURE_AT, TOKEN_AT, TOO_LONG, VALID_BUT_BEHIND, WRONG_CLOCK,
} from "./layout.js";
import { NONE, Remembered } from "./remembered.js";

/**
 * @typedef {import("../index.d.ts").ApplyResult} ApplyResult
 * @typedef {import("../index.d.ts").Claims} Claims
 * @typedef {import("../index.d.ts").Evidence} Evidence
 * @typedef {import("../index.d.ts").Verdict} Verdict
 *
 * @typedef {{ problem?: string, dropped: string[] }} KeysFound
 *
 * @typedef {object} How a token is judged
 * @property {number} staleness allowed, in seconds; 0 as configured, ANY_AGE for any
 * @property {"proved" | import("../index.d.ts").DpopRequest} [dpop] none for a bearer token; "proved" if
 *   no client shows it now
 */

export class Engine {
  #capacity;
  #clock;
  #config;
  #hosts;
  #isOneIssuer;
  #remembered;
  #history = new History();
  /** The snapshot that leads to the newest position ever seen, once there is one. @type {Uint8Array | undefined} */
  newest;
  /** When that snapshot was accepted as plausible, unix seconds. */
  #keptAt = 0;
  /** The key sets in force, as JSON text, and what was found in them, by the place of their issuer.
   * @type {Map<number, { jwks: string, isFetched: boolean, found: KeysFound }>} */
  #keySets = new Map();
  /** The keys that load and that the host may support, by number. @type {Map<number, JsonWebKey>} */
  #jwks = new Map();
  /** The same keys as keys of the host; null if the host does not support one. @type {Map<number, import("./host.js").HostKey | null>} */
  #hostKeys = new Map();
  /** Increases when a key's number may belong to another key. */
  #keysVersion = 0;
  /** @type {WasmVerifier | undefined} */
  #wasm;
  #generation = -1;
  /** Wasm's memory, and the parts of the buffer in it (layout.js). */
  #memory = NO_BYTES;
  #facts = new Uint32Array();
  #token = NO_BYTES;
  #evidence = NO_EVIDENCE;
  #evidenceAt = -1;
  /** The second, by the clock, in which wasm was last given the monotonic time. */
  #tickedAt = -1;
  /** When the feed's newest statement arrived, seconds of the monotonic clock. */
  #heardAt = 0;
  #isClosed = false;
  /** Runs when a token shows that the feed is behind. */
  onBehind = () => {};

  /**
   * @param {import("../options.js").Settings} settings
   * @param {import("./host.js").Hosts} hosts what checks signatures in place of wasm
   */
  constructor({ clock, config, keySources, rememberedTokens }, hosts) {
    this.#capacity = rememberedTokens;
    this.#clock = clock;
    this.#config = config;
    this.#hosts = hosts;
    this.#isOneIssuer = keySources.length === 1;
    this.#remembered = new Remembered(rememberedTokens);
    this.#current();
  }

  /**
   * The verdict on a remembered token; undefined if it is not remembered. Nearly every request takes this path.
   * The caller passes errors to `afterError`.
   *
   * @param {string} token @param {How} how
   * @returns {Verdict | undefined}
   */
  recall(token, how) {
    const remembered = this.#remembered;
    const slot = remembered.find(token);
    const wasm = this.#wasm;
    if (slot === NONE || wasm === undefined || this.#generation !== generation()) return undefined;
    const now = this.#now();
    const code = wasm.judge(slot, now, how.staleness, this.#shown(token, how));
    if (code !== FORGOTTEN) return this.#verdict(code, now, remembered.claims[slot], remembered.claimsJson[slot]);
    remembered.clear();
    return undefined;
  }

  /**
   * Judges a token by wasm alone.
   *
   * @param {string} token @param {How} how
   * @returns {Verdict}
   */
  verifySync(token, how) {
    return this.#guarded(() => this.#verifyAnew(token, how));
  }

  /**
   * Judges a token; the host checks its signature if it has the key. Returns without a promise if nothing has
   * to be awaited.
   *
   * @param {string} token @param {How} how
   * @returns {Verdict | Promise<Verdict>}
   */
  verify(token, how) {
    return this.#guarded(() => this.#verifyByHost(token, how, 0));
  }

  /**
   * Judges a token that has its own slot, above those of remembered tokens; undefined if the token is valid.
   *
   * @param {number} slot counted from zero @param {string} token
   * @param {boolean} isKnown true if it was good when it was last reviewed
   * @returns {Verdict | undefined}
   */
  review(slot, token, isKnown) {
    return this.#guarded((wasm) => {
      const now = this.#now();
      const own = this.#capacity + slot;
      // Before that the slot holds the state of another token.
      let code = isKnown ? wasm.judge(own, now, 0, NOT_SHOWN) : FORGOTTEN;
      if (code === FORGOTTEN) code = wasm.verify(this.#write(token), now, own, 0, NOT_SHOWN);
      return code > VALID_BUT_BEHIND ? this.#verdict(code, now) : undefined;
    });
  }

  /** The result of each check of a token. @param {string} token @param {How} how @returns {import("../index.d.ts").Step[]} */
  explain(token, how) {
    return this.#guarded((wasm) => {
      const shown = this.#shown(token, how);
      check(wasm.explain(this.#write(token), this.#now(), shown));
      return JSON.parse(this.#answer());
    });
  }

  /**
   * Why bytes that begin like this are not a snapshot of the feed; undefined if they may be one.
   *
   * @param {Uint8Array} head
   */
  preview(head) {
    return this.#guarded((wasm) => (wasm.preview(head) ? undefined : this.#problem()));
  }

  /** Begins to check a snapshot that arrives; a ticket, or why it is not one. @param {Uint8Array} head */
  arrivalBegins(head) {
    return this.#guarded((wasm) => wasm.begin(head) || this.#problem());
  }

  /** @param {number} ticket @param {Uint8Array} piece */
  arrivalGoesOn(ticket, piece) {
    this.#guarded((wasm) => wasm.piece(ticket, piece));
  }

  /** Why what has arrived is not a snapshot of the feed; undefined if it is one. @param {number} ticket */
  arrivalEnds(ticket) {
    return this.#guarded((wasm) => (wasm.end(ticket) ? undefined : this.#problem()));
  }

  /** When the last applied snapshot was signed, unix seconds. */
  issuedAt() {
    return this.#guarded((wasm) => wasm.issuedAt());
  }

  /** True if that snapshot ends before the held position. */
  isBehind() {
    return this.#guarded((wasm) => wasm.isBehind());
  }

  /** @param {Uint8Array} bytes @returns {ApplyResult} */
  apply(bytes) {
    return this.#guarded((wasm) => {
      const { position } = this.evidence();
      // Wasm's memory never shrinks: data that is not a snapshot must not enter it.
      if (!wasm.preview(bytes.subarray(0, HEAD_BYTES))) return this.#problem();
      const now = this.#now();
      const code = wasm.apply(bytes, now);
      check(code);
      this.#heardAt = wasm.heardAt();
      /** @type {ApplyResult} */
      const result = JSON.parse(this.#answer());
      const what = "applied" in result ? result.applied : result.error;
      if (what === "replaced" || what === "refreshed") this.#history.base = this.#base(wasm);
      // Of two statements that end at the floor, the shorter one is enough.
      const isShorter = code === AT_FLOOR && bytes.length < (this.newest?.length ?? 0);
      if (code === RAISED || isShorter) this.#keep(bytes, now);
      this.#evidenceAt = -1;
      this.#history.remember(what, bytes, this.evidence().position !== position);
      return result;
    });
  }

  /** The position from which to request more of the feed; undefined if a base is needed. */
  since() {
    return this.#guarded(() => this.#look(this.#now()));
  }

  /** The evidence of a verdict that is made now. */
  evidence() {
    return this.#guarded(() => {
      this.#look(this.#now());
      return this.#evidence;
    });
  }

  /**
   * Replaces the key set of the issuer at `place`; throws if the JWK set is not well-formed. A set without a
   * usable key is accepted too, because the issuer has withdrawn the others: the result then has the problem.
   * It lists the keys that were left out, and why.
   *
   * @param {number} place @param {string} jwks @param {boolean} isFetched false if it was configured
   */
  setKeys(place, jwks, isFetched) {
    return this.#guarded(() => {
      const held = this.#keySets.get(place);
      if (held?.jwks === jwks && held.isFetched === isFetched) return held.found;
      const found = this.#load(place, jwks, isFetched);
      this.#keySets.set(place, { jwks, isFetched, found });
      return found;
    });
  }

  /**
   * From now on trusts nothing older than a stored snapshot. Returns why it could not be used.
   *
   * @param {Uint8Array} snapshot
   * @returns {"foreign" | "implausible" | undefined} implausible by the clock, which may be wrong
   */
  resume(snapshot) {
    return this.#guarded((wasm) => {
      if (!wasm.preview(snapshot.subarray(0, HEAD_BYTES))) return "foreign";
      const now = this.#clock();
      const code = wasm.resume(snapshot, now);
      check(code);
      if (code === RAISED) this.#keep(snapshot, now);
      if (code === IMPLAUSIBLE) return "implausible";
      return code === NOT_VALID ? "foreign" : undefined;
    });
  }

  /** All applied snapshots that are in force, oldest first. The caller must read them immediately. */
  snapshots() {
    return this.#history.snapshots();
  }

  close() {
    if (this.#generation === generation()) this.#wasm?.free();
    this.#wasm = undefined;
    this.#isClosed = true;
    this.#remembered.clear();
  }

  /** @param {Uint8Array} newest @param {number} now */
  #keep(newest, now) {
    this.newest = newest;
    this.#keptAt = now;
  }

  /** Calls into wasm, and replaces the instance if that traps. @template T @param {(wasm: WasmVerifier) => T} call @returns {T} */
  #guarded(call) {
    try {
      return call(this.#current());
    } catch (error) {
      throw afterError(error);
    }
  }

  /** @param {string} token @param {How} how @returns {Verdict} */
  #verifyAnew(token, how) {
    const now = this.#now();
    const shown = this.#shown(token, how);
    const length = this.#write(token);
    const code = this.#current().verify(length, now, this.#remembered.reserve(), how.staleness, shown);
    return this.#conclude(code, token, now);
  }

  /**
   * @param {string} token @param {How} how @param {number} nth of the keys it may be of
   * @returns {Verdict | Promise<Verdict>}
   */
  #verifyByHost(token, how, nth) {
    for (; this.#jwks.size > 0; nth += 1) {
      const ticket = this.#current().candidate(this.#write(token), nth);
      if (ticket === NO_TICKET) {
        // A signature that fits none of several issuers' keys has more than one possible reason.
        if (nth > 0 && this.#isOneIssuer) return this.#vouch(ticket, token, how);
        break;
      }
      this.#view();
      // By index: destructuring a typed array uses its iterator.
      const facts = this.#facts;
      const key = this.#hostKeys.get(facts[2]);
      if (key === undefined) return this.#verifyOnceImported(facts[2], token, how, nth);
      if (key === null) break;
      const from = facts.byteOffset + SIGNATURE_AT;
      const signature = this.#memory.subarray(from, from + facts[3]);
      const isGood = key(signature, this.#token.subarray(0, facts[4]));
      if (typeof isGood === "object") {
        return this.#verifyOnceChecked(isGood, ticket, token, how, nth);
      }
      if (isGood) return this.#vouch(ticket, token, how);
    }
    return this.#verifyAnew(token, how);
  }

  /**
   * Requests share the key once it exists, and never the promise of it.
   *
   * @param {number} number @param {string} token @param {How} how @param {number} nth
   * @returns {Promise<Verdict>}
   */
  async #verifyOnceImported(number, token, how, nth) {
    const version = this.#keysVersion;
    const key = await importKey(this.#hosts, /** @type {JsonWebKey} */ (this.#jwks.get(number)));
    if (this.#keysVersion === version) this.#hostKeys.set(number, key);
    return this.#guarded(() => this.#verifyByHost(token, how, nth));
  }

  /**
   * @param {Promise<boolean>} checking @param {number} ticket
   * @param {string} token @param {How} how @param {number} nth
   * @returns {Promise<Verdict>}
   */
  async #verifyOnceChecked(checking, ticket, token, how, nth) {
    const version = this.#keysVersion;
    const isGood = await checking.catch(() => undefined);
    return this.#guarded(() => {
      // The keys have changed in the meantime, or the host has failed: wasm checks everything.
      const isOpen = isGood === undefined || this.#keysVersion !== version;
      if (isOpen) return this.#verifyAnew(token, how);
      if (!isGood) return this.#verifyByHost(token, how, nth + 1);
      return this.#vouch(ticket, token, how);
    });
  }

  /**
   * The verdict on a token whose signature is valid according to the host.
   *
   * @param {number} ticket @param {string} token @param {How} how
   */
  #vouch(ticket, token, how) {
    const now = this.#now();
    const slot = this.#remembered.reserve();
    const shown = this.#shown(token, how);
    const code = this.#current().verifyVouchedFor(ticket, now, slot, how.staleness, shown);
    // Wasm forgets a ticket after many others, and then checks the signature again.
    return code === FORGOTTEN ? this.#verifyAnew(token, how) : this.#conclude(code, token, now);
  }

  /** The verdict behind a code of wasm's on a token just read. @param {number} code @param {string} token @param {number} now */
  #conclude(code, token, now) {
    if (code > VALID_BUT_BEHIND) return this.#verdict(code, now);
    this.#remembered.vacate();
    const claimsJson = this.#answer();
    const claims = parseExactly(claimsJson);
    this.#remembered.put(token, claims, claimsJson);
    return this.#verdict(code, now, claims, claimsJson);
  }

  /**
   * @param {number} code @param {number} now @param {any} [claims] of a valid token @param {any} [claimsJson]
   * @returns {Verdict}
   */
  #verdict(code, now, claims, claimsJson) {
    if (code > VALID_BUT_BEHIND) {
      check(code);
      return JSON.parse(this.#answer());
    }
    if (code === VALID_BUT_BEHIND) this.onBehind();
    if (Math.floor(now) !== this.#evidenceAt) this.#look(now);
    return { outcome: "valid", code: "valid", claims, claimsJson, evidence: this.#evidence };
  }

  /** Reads the state of the feed: renews the evidence that all verdicts of one second share. */
  #look(/** @type {number} */ now) {
    check(this.#current().feed(now));
    /** @type {{ since: string | null, evidence: Evidence }} */
    const { since, evidence } = JSON.parse(this.#answer());
    this.#evidence = Object.freeze(evidence);
    this.#evidenceAt = Math.floor(now);
    return since ?? undefined;
  }

  /**
   * The time. Wasm gets the monotonic time first: neither a clock that is set back nor a feed dated in the
   * future may make the held state look fresh.
   */
  #now() {
    const now = this.#clock();
    const second = Math.floor(now);
    if (second !== this.#tickedAt) {
      this.#current().tick(uptime());
      this.#tickedAt = second;
    }
    return now;
  }

  /** @returns {{ error: string, detail: string, needsBase: boolean }} */
  #problem() {
    return JSON.parse(this.#answer());
  }

  /** The result of the last call. */
  #answer() {
    this.#view();
    const at = this.#facts[0];
    return decoder.decode(this.#memory.subarray(at, at + this.#facts[1]));
  }

  /** The bytes of the base. @param {WasmVerifier} wasm */
  #base(wasm) {
    wasm.base();
    this.#view();
    const [address, length] = this.#facts;
    return length === 0 ? undefined : { memory: instanceMemory(), address, length };
  }

  /** Sets how a token is sent, for the next call into wasm. @param {string} token @param {How} how */
  #shown(token, { dpop }) {
    if (dpop === undefined) return BEARER;
    if (dpop === "proved") return NOT_SHOWN;
    const { method, proof, url } = dpop;
    // One character more than the longest of them.
    const [ofMethod, ofUrl, ofProof] = [method, url, proof].map((part) => encoder.encode(part.slice(0, 8193)));
    this.#current().show(this.#write(token), ofMethod, ofUrl, ofProof);
    return SHOWN_WITH_PROOF;
  }

  /** Writes a token where wasm reads it; returns its length, or the marker for one that is too long. */
  #write(/** @type {string} */ token) {
    this.#view();
    if (token.length > MAX_TOKEN_BYTES) return TOO_LONG;
    const { read, written } = encoder.encodeInto(token, this.#token);
    return read === token.length ? written : TOO_LONG;
  }

  /** Renews the views of wasm's memory, if it has grown or was replaced. */
  #view() {
    if (this.#memory.byteLength !== 0) return;
    const address = this.#current().address();
    const { buffer } = instanceMemory();
    this.#memory = new Uint8Array(buffer);
    this.#facts = new Uint32Array(buffer, address, FACTS);
    this.#token = new Uint8Array(buffer, address + TOKEN_AT, MAX_TOKEN_BYTES + 1);
  }

  /** @param {number} place @param {string} jwks @param {boolean} isFetched @returns {KeysFound} */
  #load(place, jwks, isFetched) {
    this.#current().setKeys(place, encoder.encode(jwks), isFetched);
    const { keys, problem, dropped } = JSON.parse(this.#answer());
    if (keys === undefined) throw invalid(`issuers[${place}].keys: ${problem}`);
    // Wasm has refused sets with a duplicate member name.
    const set = JSON.parse(jwks);
    this.#keysVersion += 1;
    for (const known of [this.#hostKeys, this.#jwks]) {
      for (const number of known.keys()) if (number >> KEY_BITS === place) known.delete(number);
    }
    for (const [number, at, alg] of keys) {
      if (this.#hosts.has(alg)) this.#jwks.set(number, { ...(set.keys?.[at] ?? set), alg });
      else this.#hostKeys.set(number, null);
    }
    return { problem, dropped };
  }

  /** The verifier in wasm. If its instance was replaced, it is created again with its whole state. */
  #current() {
    if (this.#wasm !== undefined && this.#generation === generation()) return this.#wasm;
    if (this.#isClosed) throw new Error("the verifier is closed");
    ensureInstance();
    // The options were checked before.
    const wasm = /** @type {WasmVerifier} */ (WasmVerifier.make(this.#config));
    this.#wasm = wasm;
    this.#generation = generation();
    this.#memory = NO_BYTES;
    this.#evidenceAt = -1;
    this.#remembered.clear();
    // Repeated snapshots count from their first arrival, not from now.
    wasm.tick(this.#heardAt);
    this.#tickedAt = -1;
    for (const [place, { jwks, isFetched }] of this.#keySets) this.#load(place, jwks, isFetched);
    // It was plausible when it was accepted: a clock that was set back since does not matter.
    if (this.newest !== undefined) wasm.resume(this.newest, Math.max(this.#clock(), this.#keptAt));
    for (const bytes of this.#history.snapshots()) wasm.apply(bytes, this.#clock());
    this.#history.base &&= this.#base(wasm);
    return wasm;
  }
}

/** Monotonic seconds. */
const uptime = () => performance.now() / 1000;

/** @param {number} code */
function check(code) {
  if (code === WRONG_CLOCK) throw new Error("now must be unix seconds, finite and >= 0");
}

const NO_BYTES = new Uint8Array();
/** @type {Evidence} */
export const NO_EVIDENCE = Object.freeze({ position: null, ageSeconds: null });
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
