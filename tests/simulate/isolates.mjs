// Edge isolates: the package's own policy of following and of judging requests, over a verifier that is either
// the real one or a stand-in that is small enough for ten thousand of them.

import { Verifier } from "offswitch";
import { FeedClient } from "../../verifier-wasm/js/feed/client.js";
import * as heads from "../../verifier-wasm/js/feed/head.js";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { readOptions } from "../../verifier-wasm/js/options.js";
import { optionsOf } from "../support/feed.mjs";
import { mint, signingKey } from "../support/fixture.mjs";
import { BEGIN_SECONDS, VALID_SECONDS, publicKey, recognise, revoked } from "./log.mjs";

const key = await signingKey("EdDSA");
const claims = { iat: BEGIN_SECONDS, exp: BEGIN_SECONDS + 86_400 };
/** By the record that revokes it; 0 is never revoked. @type {Map<number, string>} */
const tokens = new Map();

/** The token that a record revokes. @param {number} seq */
export async function mintFor(seq) {
  const jti = seq === 0 ? "good" : revoked(seq);
  if (!tokens.has(seq)) tokens.set(seq, await mint(key, { ...claims, jti, sid: `of ${jti}` }));
}

const parts = (name) => ({ key, publicKey, url: `http://${name}.feed.test/feed` });
/** Options of a verifier that polls an address, or its head. */
function optionsFor(name, { byHead, ...feed }) {
  const options = optionsOf(parts(name), { rememberedTokens: 16 }, { maxStaleness: VALID_SECONDS, ...feed });
  const { url, ...trust } = options.feed;
  return byHead ? { ...options, feed: { ...trust, head: `${url}/head` } } : options;
}

const loadHeads = async () => heads;
/** Parsed once for all: they differ only in the address. */
let settings;

/**
 * The real verifier.
 *
 * @param {string} name @param {object} feed @param {(seq: number) => void} onPosition
 */
export function realVerifier(name, feed, onPosition) {
  const onEvent = ({ position }) => position && onPosition(Number(position.split(".")[1]));
  const verifier = new Verifier({ ...optionsFor(name, feed), onEvent });
  return Object.assign(verifier, { token: (seq) => tokens.get(seq) });
}

/**
 * Replaces a verifier: the feed client is the package's own and reads the real bytes, but instead of checking
 * every signature again the stand-in looks up what the bytes are, and stores its position instead of a copy of
 * the entries. These are the rules of feed/mod.rs and verify/mod.rs.
 */
export class StandIn {
  #client;
  #held = { baseTo: -1, era: 0, issuedAt: 0, to: -1 };
  #onPosition;

  constructor(name, feed, onPosition) {
    settings ??= readOptions(optionsFor("any", {})).feed;
    const { byHead, ...how } = feed;
    const { url } = parts(name);
    const own = { ...settings, ...how, urls: [byHead ? `${url}/head` : url], heads: [byHead && url], loadHeads };
    this.#onPosition = onPosition;
    this.#client = new FeedClient(own, this, nowSeconds);
    // No token here is ahead of the feed.
    this[INTERNALS] = { feed: this.#client, onBehind() {}, refresh: (options) => this.refresh(options) };
  }

  token(seq) {
    return seq;
  }

  /** @param {object} options */
  refresh(options) {
    return this.#client.round(options);
  }

  since() {
    const { era, to } = this.#held;
    return to < 0 ? undefined : `${era}.${to}`;
  }

  age() {
    return this.status().ageSeconds;
  }

  status() {
    const { issuedAt, to } = this.#held;
    return { ageSeconds: to < 0 ? null : Math.floor(nowSeconds()) - BEGIN_SECONDS - issuedAt };
  }

  apply(bytes) {
    const snapshot = recognise(bytes);
    const held = this.#held;
    const applied = snapshot.base ? this.#replace(snapshot) : this.#extend(snapshot);
    if (held !== this.#held) this.#onPosition(this.#held.to);
    return applied;
  }

  async verify(seq) {
    return this.verifySync(seq);
  }

  verifySync(seq) {
    const { to } = this.#held;
    if (to < 0) return { outcome: "undecided" };
    if (seq > 0 && to >= seq) return { outcome: "refused" };
    // `valid_until` is within the allowed distance, and its own leeway is added.
    return { outcome: this.status().ageSeconds > VALID_SECONDS ? "undecided" : "valid" };
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
