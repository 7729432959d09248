// Edge isolates: the package's own policy of following and of judging requests, over a verifier that is either
// the real one or a stand-in that is small enough for ten thousand of them.

import { Verifier } from "offswitch";
import { FeedClient } from "../../verifier-wasm/js/feed/client.js";
import * as heads from "../../verifier-wasm/js/feed/head.js";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { combine } from "../../verifier-wasm/js/feeds/feeds.js";
import { readOptions } from "../../verifier-wasm/js/options.js";
import { optionsOf } from "../support/feed.mjs";
import { BEGIN_SECONDS } from "./cells.mjs";
import { VALID_SECONDS, recognise } from "./log.mjs";

/**
 * What judges the requests of an isolate: a verifier for each cell, and one over them where there are several, as in
 * the edge worker.
 *
 * @param {string} name @param {boolean} isReal
 * @param {{ cell: import("./cells.mjs").Cell, feed: object, onPosition: (seq: number) => void }[]} followed
 */
export function verifierOf(name, isReal, followed) {
  const verifiers = followed.map(({ cell, feed, onPosition }) => isReal
    ? realVerifier(name, cell, feed, onPosition) : new StandIn(name, cell, feed, onPosition));
  return verifiers.length === 1 ? verifiers[0] : combine(verifiers);
}

/** The host at which an isolate reaches the feed of a cell. */
export const hostOf = (name, { feed }) => `${name}.${feed}.test`;
const urlOf = (name, cell) => `http://${hostOf(name, cell)}/feed`;

/** Options of a verifier that polls an address, or its head. */
function optionsFor(name, cell, { byHead, ...feed }) {
  const parts = { key: cell, publicKey: cell.publicKey, url: urlOf(name, cell) };
  const options = optionsOf(parts, { issuer: cell.issuer, rememberedTokens: 16 },
    { id: cell.feed, maxStaleness: VALID_SECONDS, ...feed });
  const { url, ...trust } = options.feed;
  return byHead ? { ...options, feed: { ...trust, head: `${url}/head` } } : options;
}

function realVerifier(name, cell, feed, onPosition) {
  // While one request takes over from another, both long polls get the same delta: the second one is ignored.
  const onEvent = ({ applied = "ignored", position }) =>
    applied !== "ignored" && onPosition(Number(position.split(".")[1]));
  return new Verifier({ ...optionsFor(name, cell, feed), onEvent });
}

const loadHeads = async () => heads;
/** Parsed once for all: they differ only in the address and in the feed. */
let settings;

/**
 * Replaces a verifier: the feed client is the package's own and reads the real bytes, but instead of checking
 * every signature again the stand-in looks up what the bytes are, and stores its position instead of a copy of
 * the entries. These are the rules of feed/mod.rs and verify/mod.rs.
 */
class StandIn {
  #cell;
  #client;
  /** @type {import("../../verifier-wasm/js/feed/internals.js").LaterFollower | undefined} */
  #follower;
  #held = { baseTo: -1, era: 0, issuedAt: 0, to: -1 };
  #onPosition;

  constructor(name, cell, feed, onPosition) {
    settings ??= readOptions(optionsFor("any", cell, {})).feed;
    const { byHead, ...how } = feed;
    const url = urlOf(name, cell);
    const at = { id: cell.feed, urls: [byHead ? `${url}/head` : url], heads: [byHead && url] };
    this.#cell = cell;
    this.#onPosition = onPosition;
    this.#client = new FeedClient({ ...settings, ...how, ...at, loadHeads }, this, nowSeconds);
    this[INTERNALS] = {
      feed: this.#client,
      followBy: (make) => { this.#follower = make(this[INTERNALS]); },
      // No token here is ahead of the feed.
      onBehind() {},
      recall: (token) => (cell.recordOf(token) === undefined ? undefined : this.verifySync(token)),
      refresh: (options) => this.#client.round(options),
    };
  }

  followLater(waitUntil) {
    return this.#follower.later(waitUntil);
  }

  close() {}

  since() {
    const { era, to } = this.#held;
    return to < 0 ? undefined : `${era}.${to}`;
  }

  age() {
    const { issuedAt, to } = this.#held;
    return to < 0 ? null : Math.floor(nowSeconds()) - BEGIN_SECONDS - issuedAt;
  }

  status() {
    return { keys: [{ issuer: this.#cell.issuer }] };
  }

  apply(bytes) {
    const snapshot = recognise(bytes);
    if (snapshot.feed !== this.#cell.feed) return { error: "wrong_feed" };
    const held = this.#held;
    const applied = snapshot.base ? this.#replace(snapshot) : this.#extend(snapshot);
    if (held !== this.#held) this.#onPosition(this.#held.to);
    return applied;
  }

  async verify(token) {
    return this.verifySync(token);
  }

  verifySync(token) {
    const seq = this.#cell.recordOf(token);
    if (seq === undefined) return { outcome: "refused", code: "unknown_key" };
    const { to } = this.#held;
    if (to < 0) return { outcome: "undecided", code: "no_snapshot" };
    if (seq > 0 && to >= seq) return { outcome: "refused", code: "revoked_token" };
    const ageSeconds = this.age();
    // `valid_until` is within the allowed distance, and its own leeway is added.
    if (ageSeconds > VALID_SECONDS) return { outcome: "undecided", code: "stale_snapshot" };
    return { outcome: "valid", code: "valid", evidence: { ageSeconds } };
  }

  #replace({ era, issuedAt, to }) {
    const held = this.#held;
    const isNewEra = era > held.era;
    if (era < held.era || (!isNewEra && to < held.to)) return { applied: "ignored" };
    const newest = Math.max(issuedAt, held.issuedAt);
    const applied = isNewEra || to > held.baseTo ? "replaced" : "refreshed";
    this.#held = { baseTo: to, era, issuedAt: newest, to };
    return { applied };
  }

  #extend({ era, from, issuedAt, to }) {
    const held = this.#held;
    const isGap = held.to < 0 || era > held.era || from > held.to;
    if (isGap) return { error: "feed_gap", needsBase: true };
    if (era < held.era || from < held.to) return { applied: "ignored" };
    this.#held = { ...held, issuedAt: Math.max(issuedAt, held.issuedAt), to };
    return { applied: to === held.to ? "refreshed" : "extended" };
  }
}

const nowSeconds = () => Date.now() / 1000;
