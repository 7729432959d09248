// The rules for a history: pure functions, each returns the events that broke it.

import { createHash } from "node:crypto";
import { FAULT_RULES } from "./fault-rules.mjs";
import { acknowledged, compare, eraOf, isRevoked, isValid } from "./history.mjs";

/**
 * @typedef {import("./history.mjs").History} History
 * @typedef {import("./history.mjs").Received} Received
 * @typedef {{ text: string, evidence: object[] }} Violation
 */

/** All violations of the rules. @param {History} history */
export const violations = (history) => Object.entries(RULES).flatMap(([rule, broken]) =>
  broken(history).map((violation) => ({ rule, ...violation })));

/**
 * A token that one verifier refused as revoked is not valid at any verifier at the same or a later position.
 *
 * @param {History} history @returns {Violation[]}
 */
function nothingUnRevokes(history) {
  const isInterim = interimEras(history);
  return unRevocations(history).filter(([, { at, position }]) => !isInterim(at, position))
    .map(([refusal, verdict]) => ({
      text: `token ${verdict.token} was refused at ${refusal.position} and is valid at ${verdict.position}`,
      evidence: [refusal, verdict],
    }));
}

/**
 * No position has two contents: neither two chain hashes nor two sets of revocations, over all
 * followers and all processes.
 *
 * @param {History} history @returns {Violation[]}
 */
function noPositionHasTwoContents({ received }) {
  const [chains, contents] = [new Map(), new Map()];
  const found = [];
  const hold = (known, position, value, what, snapshot) => {
    const first = known.get(position);
    if (first === undefined) known.set(position, { value, snapshot });
    else if (first.value !== value) {
      const text = `${position} has two ${what}: ${first.value} and ${value}`;
      found.push({ text, evidence: [first.snapshot, snapshot].map(brief) });
    }
  };
  for (const { snapshot, content } of folded(received)) {
    if (snapshot.result === "feed_fork") {
      const text = `a verifier holds another history than ${snapshot.to}`;
      found.push({ text, evidence: [brief(snapshot)] });
    }
    hold(chains, snapshot.to, snapshot.chainTo, "chain hashes", snapshot);
    if (snapshot.kind !== "base") hold(chains, snapshot.from, snapshot.chainFrom, "chain hashes", snapshot);
    if (content !== undefined) hold(contents, snapshot.to, content, "contents", snapshot);
  }
  return found;
}

/**
 * Every base at the same or a later position contains the entries that one follower got, whichever
 * process made it. Nothing expires within a run.
 *
 * @param {History} history @returns {Violation[]}
 */
function nothingPublishedIsLost(history) {
  const isInterim = interimEras(history);
  return incompleteBases(history).filter(({ base }) => !isInterim(base.at, base.to)).map(({ base, lacks }) => {
    const text = `the base ${base.to} of ${base.process} lacks ${lacks.length} entries published before`;
    const snapshots = new Set(lacks.map(({ snapshot }) => snapshot));
    return { text, evidence: [base, ...[...snapshots].slice(0, 3)].map(brief) };
  });
}

/**
 * The entries that only one process had published, or only one had acknowledged, are missing until that process has
 * noticed the loss too: this is the known gap when several processes heal the log.
 *
 * @param {History} history
 */
export function missingForAMoment(history) {
  const isInterim = interimEras(history);
  const isMissing = (/** @type {import("./history.mjs").Verdict} */ { at, position }) => isInterim(at, position);
  return {
    bases: incompleteBases(history).filter(({ base }) => isInterim(base.at, base.to)).length,
    verdicts: unRevocations(history).filter(([, verdict]) => isMissing(verdict)).length,
    acknowledged: unenforced(history).filter(({ verdicts }) => verdicts.some(isMissing)).length,
  };
}

/** Each base that lacks entries published up to its position. @param {History} history */
function incompleteBases({ received }) {
  const denied = new Map();
  /** For each user the demands on its tokens, each with the first snapshot that made it. */
  const users = new Map();
  const note = (known, key, value) => {
    const first = known.get(key);
    if (first === undefined || compare(value.snapshot.to, first.snapshot.to) < 0) known.set(key, value);
  };
  for (const snapshot of received) {
    for (const id of snapshot.denied) note(denied, id, { snapshot });
    for (const [user, version, notBefore] of snapshot.users) {
      note(users, `${user} ${version} ${notBefore}`, { snapshot, user, version, notBefore });
    }
  }
  return received.filter(({ kind }) => kind === "base").flatMap((base) => {
    const ids = new Set(base.denied);
    const floors = new Map(base.users.map(([user, ...floor]) => [user, floor]));
    const isDue = ({ snapshot }) => compare(snapshot.to, base.to) <= 0;
    const lost = [...denied].filter(([id, one]) => !ids.has(id) && isDue(one)).map(([, one]) => one);
    const lower = [...users.values()].filter((one) => {
      const [version, notBefore] = floors.get(one.user) ?? [-1, -1];
      return (version < one.version || notBefore < one.notBefore) && isDue(one);
    });
    const lacks = [...lost, ...lower];
    return lacks.length > 0 ? [{ base, lacks }] : [];
  });
}

/**
 * An acknowledged revocation holds at every verifier that has reached it. A store that lost its
 * last seconds may have lost revocations that were acknowledged then and that no follower got.
 *
 * @param {History} history @returns {Violation[]}
 */
function nothingAcknowledgedIsLost(history) {
  return losses(history).filter(({ byDesign }) => !byDesign).map(({ revocation, verdict }) => ({
    text: `${revocation.position} was acknowledged as ${revocation.level}, and token ${verdict.token} `
      + `is valid at ${verdict.position}`,
    evidence: [revocation, verdict],
  }));
}

/** How many acknowledged revocations a fault has lost by design. @param {History} history */
export const lostUnpublished = (history) =>
  new Set(losses(history).filter(({ byDesign }) => byDesign).map(({ revocation }) => revocation)).size;

/**
 * No two requests are acknowledged with one position.
 *
 * @param {History} history @returns {Violation[]}
 */
function eachPositionIsAcknowledgedOnce({ revocations }) {
  const known = new Map();
  return acknowledged(revocations).flatMap((revocation) => {
    const first = known.get(revocation.position);
    if (first === undefined) known.set(revocation.position, revocation);
    if (first === undefined || first.request === revocation.request) return [];
    const text = `${revocation.position} was acknowledged to ${first.request} and to ${revocation.request}`;
    return [{ text, evidence: [first, revocation] }];
  });
}

/**
 * No token is refused as revoked without a request that revoked it.
 *
 * @param {History} history @returns {Violation[]}
 */
function nothingIsRefusedWithoutCause({ revocations, verdicts }) {
  const asked = new Set(revocations.flatMap(({ tokens }) => tokens));
  return verdicts.filter((one) => isRevoked(one) && !asked.has(one.token)).map((verdict) => ({
    text: `token ${verdict.token} is refused (${verdict.code}), and no request revoked it`,
    evidence: [verdict],
  }));
}

export const RULES = {
  nothingUnRevokes, noPositionHasTwoContents, nothingPublishedIsLost, nothingAcknowledgedIsLost,
  eachPositionIsAcknowledgedOnce, nothingIsRefusedWithoutCause, ...FAULT_RULES,
};

/** Each acknowledged revocation with a verdict that shows its loss. @param {History} history */
function losses(history) {
  const { faults, received } = history;
  const furthest = furthestPublished(received);
  const isInterim = interimEras(history);
  return unenforced(history).flatMap(({ revocation, verdicts }) => {
    const verdict = verdicts.find(({ at, position }) => !isInterim(at, position));
    if (verdict === undefined) return [];
    const isPublished = compare(furthest.get(eraOf(revocation.position)) ?? "0.0", revocation.position) >= 0;
    const byDesign = !isPublished && faults.some(({ kind, losesFrom, begin, end }) =>
      kind === "lost-seconds" && revocation.at >= losesFrom && revocation.at <= end && verdict.at > begin);
    return [{ revocation, verdict, byDesign }];
  });
}

/** Each acknowledged revocation with the later verdicts that accept a token of it. @param {History} history */
function unenforced({ revocations, verdicts }) {
  /** @type {Map<number, import("./history.mjs").Verdict[]>} */
  const valid = new Map();
  for (const verdict of verdicts.filter(isValid)) {
    const known = valid.get(verdict.token);
    if (known) known.push(verdict);
    else valid.set(verdict.token, [verdict]);
  }
  return acknowledged(revocations).filter(({ level }) => level !== "memory").flatMap((revocation) => {
    const late = revocation.tokens.flatMap((token) => valid.get(token) ?? [])
      .filter(({ position }) => compare(position, revocation.position) >= 0);
    return late.length > 0 ? [{ revocation, verdicts: late }] : [];
  });
}

/** The last position of each era that any follower got. @param {Received[]} received */
function furthestPublished(received) {
  const furthest = new Map();
  for (const { to } of received) {
    const era = eraOf(to);
    if (compare(furthest.get(era) ?? "0.0", to) < 0) furthest.set(era, to);
  }
  return furthest;
}

/**
 * Each snapshot with a digest of all revocations at its end, as its follower folds them; undefined
 * where that cannot be computed.
 *
 * @param {Received[]} received
 */
function* folded(received) {
  const followers = new Map();
  for (const snapshot of received) {
    let content;
    if (snapshot.kind === "base") {
      const base = new Content(snapshot);
      content = base.digest;
      const held = followers.get(snapshot.follower);
      const isFurther = held === undefined || compare(held.to, snapshot.to) <= 0;
      if (snapshot.result === "replaced" && isFurther) followers.set(snapshot.follower, base);
    } else if (snapshot.result === "extended" || snapshot.result === "refreshed") {
      const held = followers.get(snapshot.follower);
      held?.add(snapshot);
      content = held?.digest;
    }
    yield { snapshot, content };
  }
}

/** The revocations up to a position. */
class Content {
  #denied = new Set();
  #users = new Map();
  /** The digest of all entries, in any order. */
  #sum = 0n;

  /** @param {Received} base */
  constructor(base) {
    this.add(base);
  }

  /** @param {Received} snapshot */
  add({ to, denied, users }) {
    this.to = to;
    for (const id of denied) {
      if (this.#denied.has(id)) continue;
      this.#denied.add(id);
      this.#sum ^= hashOf(id);
    }
    for (const [user, version, notBefore] of users) {
      const held = this.#users.get(user);
      const joined = [Math.max(version, held?.[0] ?? 0), Math.max(notBefore, held?.[1] ?? 0)];
      if (held) this.#sum ^= hashOf(`${user} ${held}`);
      this.#sum ^= hashOf(`${user} ${joined}`);
      this.#users.set(user, joined);
    }
  }

  get digest() {
    return `${this.#denied.size} ids, ${this.#users.size} users, ${this.#sum.toString(16)}`;
  }
}

/** @param {string} text */
function hashOf(text) {
  const known = hashes.get(text);
  if (known !== undefined) return known;
  const hash = createHash("sha256").update(text).digest().readBigUInt64LE();
  hashes.set(text, hash);
  return hash;
}

/** Every base repeats the content of the one before. @type {Map<string, bigint>} */
const hashes = new Map();

/** The refusal of each token as revoked at the lowest position. @param {import("./history.mjs").Verdict[]} verdicts */
function lowestRefusals(verdicts) {
  const lowest = new Map();
  for (const verdict of verdicts.filter(isRevoked)) {
    const known = lowest.get(verdict.token);
    if (known === undefined || compare(verdict.position, known.position) < 0) lowest.set(verdict.token, verdict);
  }
  return lowest;
}

/** Each verdict that accepts a refused token, with the refusal. @param {History} history */
function unRevocations({ verdicts }) {
  const lowest = lowestRefusals(verdicts);
  return verdicts.filter(isValid).flatMap((verdict) => {
    const refusal = lowest.get(verdict.token);
    const isLater = refusal !== undefined && compare(verdict.position, refusal.position) >= 0;
    return isLater ? [[refusal, verdict]] : [];
  });
}

/**
 * Whether a position belongs to an era that one process began after a loss, before another process
 * has started and begun the era that contains the first one's entries.
 *
 * @param {History} history
 */
function interimEras({ faults, received }) {
  const windows = faults.filter(({ losesFrom }) => losesFrom !== undefined).map(({ begin, end }) => {
    const until = end + SETTLED_WITHIN;
    const newest = (rows) => rows.reduce((era, { to }) => Math.max(era, eraOf(to)), 0);
    const before = newest(received.filter(({ at }) => at < begin));
    return { begin, until, before, last: newest(received.filter(({ at }) => at < until)) };
  });
  return (/** @type {number} */ at, /** @type {string} */ position) => windows.some(
    ({ begin, until, before, last }) =>
      at > begin && at < until && eraOf(position) > before && eraOf(position) < last);
}

/** A snapshot without its entries, which are too many to read. @param {Received} snapshot */
const brief = ({ denied, users, ...rest }) => ({ ...rest, denied: denied.length, users: users.length });

/** Processes read the log every second. */
const SETTLED_WITHIN = 2_000;
