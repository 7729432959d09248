// One verifier over several feeds: for deployments with a control plane for each region, product or block of users
// (cells). Each feed has a verifier of its own, which nothing here changes: its engine, its issuers, its follower,
// its store. This file only finds the one that has the issuer of a token.

import { unverified } from "../engine/unverified.js";
import { INTERNALS } from "../feed/internals.js";
import { invalid } from "../options.js";

/**
 * @typedef {import("../verifier/verifier.js").Verifier} Verifier
 * @typedef {import("../index.d.ts").Verdict} Verdict
 * @typedef {import("../index.d.ts").Policy & import("../index.d.ts").Shown} Policy
 * @typedef {import("../index.d.ts").RequestOptions} RequestOptions
 * @typedef {import("../index.d.ts").RoundResult} RoundResult
 */

/** @param {Verifier[]} verifiers */
export function combine(verifiers) {
  return new Combined(verifiers);
}

class Combined {
  #verifiers;
  /** The issuers of each verifier. No two have the same one. @type {string[][]} */
  #issuers;
  /** The verifier that has made an undecided verdict. @type {WeakMap<Verdict, Verifier>} */
  #undecidedBy = new WeakMap();
  /** @type {(() => void)[]} */
  #closing = [];

  /** @param {Verifier[]} verifiers @throws {TypeError} naming every problem */
  constructor(verifiers) {
    refuseOdd(verifiers);
    this.#verifiers = [...verifiers];
    this.#issuers = verifiers.map((one) => one.status().keys.map(({ issuer }) => issuer));
    refuseShared(this.#issuers);
  }

  /** What the middlewares use. */
  get [INTERNALS]() {
    const all = this.#verifiers.map((one) => one[INTERNALS]);
    return {
      ...all[0],
      /** @param {Verdict} verdict */
      of: (verdict) => this.#undecidedBy.get(verdict)?.[INTERNALS],
      /** @type {import("../feed/internals.js").Internals["followBy"]} */
      followBy: (make) => {
        for (const one of all) one.followBy(make);
      },
    };
  }

  /** @param {unknown} token @param {Policy} [policy] @returns {Verdict} */
  verifySync(token, policy) {
    return this.#recall(token, policy) ?? this.#judge(token, policy).verdict;
  }

  /**
   * Each verifier judges with the keys that it has. Only the one whose verdict would be reported searches for a new
   * key: issuers that hang must not delay the tokens of other feeds.
   *
   * @param {unknown} token @param {Policy & RequestOptions} [options] @returns {Promise<Verdict>}
   */
  async verify(token, options) {
    const known = this.#recall(token, options);
    if (known !== undefined) return known;
    /** @type {Verdict[]} */
    const verdicts = [];
    for (const one of this.#verifiers) {
      const verdict = await one.verify(token, { ...options, timeoutSeconds: 0 });
      if (verdict.outcome === "valid") return verdict;
      verdicts.push(verdict);
    }
    const at = this.#reportedOf(token, verdicts);
    const isOpen = SEARCHED.includes(verdicts[at].code);
    return this.#by(at, isOpen ? await this.#verifiers[at].verify(token, options) : verdicts[at]);
  }

  /** @param {unknown} token @param {import("../index.d.ts").Shown} [options] */
  explain(token, options) {
    return this.#verifiers[this.#judge(token, PROVED).at].explain(token, options);
  }

  /**
   * @param {unknown} token @param {(verdict: any) => void} callback
   * @param {import("../index.d.ts").WatchOptions} [options]
   */
  onRevoked(token, callback, options) {
    return this.#verifiers[this.#judge(token, PROVED).at].onRevoked(token, callback, options);
  }

  /** Applies one signed snapshot to the feed that it is of. @param {Uint8Array} bytes */
  apply(bytes) {
    const isOf = (/** @type {Verifier} */ one) => {
      try {
        one[INTERNALS].feed.target.preview?.(bytes);
        return true;
      } catch {
        return false;
      }
    };
    return (this.#verifiers.find(isOf) ?? this.#verifiers[0]).apply(bytes);
  }

  /** Reads a feed file, by the verifier that follows its feed. @param {Uint8Array} bytes @returns {Promise<RoundResult>} */
  async load(bytes) {
    for (const one of this.#verifiers.slice(1)) {
      const result = await one.load(bytes);
      if (!("error" in result) || result.error !== "wrong_feed") return result;
    }
    return this.#verifiers[0].load(bytes);
  }

  since() {
    return undefined;
  }

  /**
   * A round of each feed. Returns the failure of one of them if there is one.
   *
   * @param {RequestOptions & { waitSeconds?: number }} [options] @returns {Promise<RoundResult>}
   */
  async refresh(options) {
    const all = await Promise.all(this.#verifiers.map((one) => one.refresh(options)));
    const isReplaced = (/** @type {RoundResult} */ one) => "applied" in one && one.applied === "replaced";
    return all.find((one) => "error" in one) ?? all.find(isReplaced) ?? all[0];
  }

  /** @param {(work: Promise<unknown>) => void} [waitUntil] */
  followLater(waitUntil) {
    const works = this.#verifiers.map((one) => one.followLater(waitUntil)).filter((work) => work !== undefined);
    return works.length > 0 ? Promise.all(works) : undefined;
  }

  /** @param {number} [olderThanSeconds] @param {RequestOptions} [options] */
  async refreshKeys(olderThanSeconds, options) {
    const changes = this.#verifiers.map((one) => one.refreshKeys(olderThanSeconds, options));
    return (await Promise.all(changes)).includes(true);
  }

  get isReady() {
    return this.#verifiers.every(({ isReady }) => isReady);
  }

  status() {
    const feeds = this.#verifiers.map((one) => one.status());
    const ageOf = (/** @type {typeof feeds[0]} */ { ageSeconds }) => ageSeconds ?? Infinity;
    const oldest = feeds.reduce((one, other) => (ageOf(other) > ageOf(one) ? other : one));
    return {
      ...oldest,
      ready: feeds.every(({ ready }) => ready),
      keys: feeds.flatMap(({ keys }) => keys),
      watched: feeds.reduce((sum, { watched }) => sum + watched, 0),
      feeds,
    };
  }

  /** @param {() => void} stop */
  onClose(stop) {
    this.#closing.push(stop);
  }

  close() {
    for (const stop of this.#closing.splice(0)) stop();
    for (const one of this.#verifiers) one.close();
  }

  /** The verdict on a token that one of them remembers. @param {unknown} token @param {Policy} [policy] */
  #recall(token, policy) {
    if (typeof token !== "string") return undefined;
    for (let at = 0; at < this.#verifiers.length; at += 1) {
      const known = this.#verifiers[at][INTERNALS].recall(token, policy);
      if (known === undefined) continue;
      // The verifier itself says why it is undecided.
      return known.outcome === "undecided" ? undefined : known;
    }
    return undefined;
  }

  /** The verdict by the keys that are there, and whose it is. @param {unknown} token @param {Policy} [policy] */
  #judge(token, policy) {
    /** @type {Verdict[]} */
    const verdicts = [];
    for (const one of this.#verifiers) {
      const verdict = one.verifySync(token, policy);
      if (verdict.outcome === "valid") return { at: verdicts.length, verdict };
      verdicts.push(verdict);
    }
    const at = this.#reportedOf(token, verdicts);
    return { at, verdict: this.#by(at, verdicts[at]) };
  }

  /**
   * Which verdict is reported on a token that none of them finds valid: that of the verifier with the issuer that the
   * token names. No signature covers that name. It chooses what is reported, and nothing else.
   *
   * @param {unknown} token @param {Verdict[]} verdicts
   */
  #reportedOf(token, verdicts) {
    const name = typeof token === "string" ? unverified(token, 1)?.iss : undefined;
    const named = this.#issuers.findIndex((issuers) => issuers.includes(name));
    // Otherwise that of one whose key fits.
    return named >= 0 ? named : Math.max(0, verdicts.findIndex(({ code }) => !KEYLESS.includes(code)));
  }

  /** @param {number} at @param {Verdict} verdict */
  #by(at, verdict) {
    if (verdict.outcome === "undecided") this.#undecidedBy.set(verdict, this.#verifiers[at]);
    return verdict;
  }
}

/** @param {unknown} verifiers */
function refuseOdd(verifiers) {
  const isVerifier = (/** @type {any} */ one) => one?.[INTERNALS] !== undefined && !(one instanceof Combined);
  const isList = Array.isArray(verifiers) && verifiers.length > 0 && verifiers.length <= MAX_FEEDS;
  if (!isList || !verifiers.every(isVerifier)) {
    throw invalid(`combine takes an array of 1 to ${MAX_FEEDS} verifiers; did you forget to await createVerifier(…)?`);
  }
}

/** @param {string[][]} issuers */
function refuseShared(issuers) {
  const problems = issuers.flatMap((some, at) => some.flatMap((issuer) => {
    const first = issuers.findIndex((others) => others.includes(issuer));
    return first < at ? [`verifiers[${at}]: has the issuer ${JSON.stringify(issuer)}, as verifiers[${first}] has`] : [];
  }));
  if (problems.length > 0) throw invalid(problems.join("; "));
}

/** The refusals of a verifier whose keys do not fit. */
const KEYLESS = ["unknown_key", "unsupported_algorithm", "bad_signature"];
/** What a newer key set may change. */
const SEARCHED = ["unknown_key", "bad_signature", "no_keys", "keys_unavailable"];
/** To find out whose a token is, however it is sent. @type {Policy} */
const PROVED = { dpop: "proved" };
const MAX_FEEDS = 64;
