// One scenario, in virtual time: the same seed gives the same run.

import { judge } from "../../verifier-wasm/js/middleware/authorize.js";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { RequestFollower } from "../../verifier-wasm/js/feed/request-follower.js";
import { chance } from "../support/chance.mjs";
import { VirtualTime } from "../support/virtual-time.mjs";
import { CELLS } from "./cells.mjs";
import { hostOf, verifierOf } from "./isolates.mjs";
import { Log, VALID_SECONDS } from "./log.mjs";
import { LONGEST_TO_CACHE, LONGEST_TO_ORIGIN, Origin, PUBLISH_SECONDS, Presence, Way } from "./network.mjs";
import { cellsOf } from "./scenarios.mjs";
import { Watch } from "./watch.mjs";

/** Isolates start within this many seconds; measurements begin once they have settled. */
const STARTING_SECONDS = 2;
const SETTLED_SECONDS = 8;
/** An isolate's requests per second; each gap is between half and one and a half of the mean. */
const REQUESTS_PER_SECOND = 2;
const LONGEST_GAP = 1.5 / REQUESTS_PER_SECOND;
/** Timers have whole milliseconds. */
const GRAIN_SECONDS = 0.02;
const REVOKE_EACH_SECONDS = 2;
/** Each of this many revocations is observed until the last isolate refuses its token, unless the scenario differs. */
const WATCH_EACH = 5;
/** Times in snapshots are whole seconds: one more may pass before a snapshot counts as too old. */
export const HARD_BOUND_SECONDS = VALID_SECONDS + 1;
/** The longest pause of a client after failures (backoff.js). */
export const LONGEST_PAUSE = 10;

/**
 * When an isolate that reaches its feed refuses at the latest, seconds after the revocation: the answer to its
 * previous request may be late and old, then it polls again with the next due request.
 */
export function boundOf({ cache, feed }) {
  const round = LONGEST_TO_CACHE + LONGEST_TO_ORIGIN;
  const poll = feed.follow === "poll" ? feed.pollSeconds : 0.1;
  // The parts are one more request, of a head that a store has a little later.
  const files = feed.byHead ? PUBLISH_SECONDS + round : 0;
  return (cache?.ttl ?? 0) + poll + LONGEST_GAP + 1.5 * round + files + GRAIN_SECONDS;
}

/**
 * The result of each cell; a scenario without `cells` has one.
 *
 * @param {object} scenario see scenarios.mjs
 * @param {{ isolates: number, isReal?: boolean, presences: number, seed: number }} size
 */
export async function simulate(scenario, { isolates, isReal = false, presences, seed }) {
  /** @type {Map<string, Way>} */
  const ways = new Map();
  const time = new VirtualTime((url, request) => ways.get(url.hostname).answer(url, request), seed);
  // The most expensive part of a real signal is never used here, and each request has a signal.
  AbortSignal.timeout = (milliseconds) => /** @type {any} */ (new Deadline(milliseconds));
  const now = () => time.now / 1000;
  const draw = chance(seed);
  const { cache, losses = 0, seconds } = scenario;
  const cells = cellsOf(scenario).map((own, nth) => {
    const log = new Log(CELLS[nth]);
    const origin = new Origin(log, now);
    const points = Array.from({ length: presences }, () =>
      new Presence(origin, now, { cache, losses, seed: draw() * 2 ** 32 }));
    return { cell: CELLS[nth], own, log, origin, points, watch: new Watch(isolates, now) };
  });
  for (const { cell, log } of cells) {
    await cell.mintUpTo(Math.floor(seconds / REVOKE_EACH_SECONDS) + 2);
    // A first record, so that no position is 0.
    log.revoke(0);
  }
  const closing = [];
  for (let at = 0; at < isolates; at += 1) {
    const point = Math.floor(draw() * presences);
    for (const { cell, points } of cells) {
      ways.set(hostOf(at, cell), new Way(points[point], { losses, seed: draw() * 2 ** 32 }));
    }
    const random = chance(draw() * 2 ** 32);
    const begin = () => {
      const verifier = verifierOf(String(at), isReal, cells.map(({ cell, own: { feed }, watch }) =>
        ({ cell, feed, onPosition: (seq) => watch.reached(at, seq) })));
      serve(at, verifier, cells, random);
      closing.push(() => verifier.close());
    };
    setTimeout(begin, random() * STARTING_SECONDS * 1000);
  }
  for (const one of cells) plan(one, draw);
  let before;
  try {
    await time.pass(SETTLED_SECONDS);
    before = cells.map(({ origin, points }) => ({ bytes: origin.bytes, requests: requestsOf(points) }));
    for (const { watch } of cells) watch.begin();
    await time.pass(seconds - SETTLED_SECONDS);
  } finally {
    time.stop();
    for (const close of closing) close();
  }
  const measured = seconds - SETTLED_SECONDS;
  return cells.map(({ origin, own, points, watch }, nth) => ({
    ...watch.result(seconds - boundOf(own) - (own.isSteady ? 0 : LONGEST_PAUSE)),
    ...load(origin.arrivals, SETTLED_SECONDS, measured),
    bytesPerSecond: (origin.bytes - before[nth].bytes) / measured,
    cacheRequestsPerSecond: cache ? (requestsOf(points) - before[nth].requests) / measured : undefined,
    mostHeld: origin.mostHeld,
  }));
}

/** The members of an AbortSignal that a request needs. */
class Deadline {
  aborted = false;
  reason = undefined;
  /** @type {Set<() => void>} */
  #listeners = new Set();

  constructor(milliseconds) {
    setTimeout(() => {
      this.aborted = true;
      this.reason = LATE;
      for (const listener of [...this.#listeners]) listener();
    }, milliseconds);
  }

  addEventListener(_, listener) {
    this.#listeners.add(listener);
  }

  removeEventListener(_, listener) {
    this.#listeners.delete(listener);
  }
}

const LATE = new DOMException("too late", "TimeoutError");

/** Requests to one isolate, as the edge worker serves them, with tokens of each cell in turn. */
function serve(isolate, verifier, cells, random) {
  verifier[INTERNALS].followBy((internals) => new RequestFollower(internals));
  const waitUntil = () => {};
  let turn = isolate;
  const request = async () => {
    const { cell, watch } = cells[turn % cells.length];
    turn += 1;
    const seq = watch.tokenFor(isolate);
    setTimeout(() => void request(), (0.5 + random()) * (1000 / REQUESTS_PER_SECOND));
    const { evidence, outcome } = await judge(verifier, cell.token(seq), {});
    verifier.followLater(waitUntil);
    watch.judged(isolate, seq, outcome, evidence?.ageSeconds);
  };
  void request();
}

/** The schedule of a cell. */
function plan({ log, origin, own, points, watch }, draw) {
  const { outage, partitions = [], seconds, watchEach = WATCH_EACH } = own;
  const at = (second, run) => setTimeout(run, second * 1000);
  const back = outage && outage.from + outage.seconds;
  const isDown = (second) => outage && second >= outage.from && second < back;
  const revoke = (isWatched) => {
    origin.revoke();
    if (isWatched && watch.isMeasuring) watch.watch(log.seq);
  };
  for (let turn = 1; turn * REVOKE_EACH_SECONDS < seconds; turn += 1) {
    // At a random moment: on the full second every isolate would get a snapshot that was just signed.
    const second = turn * REVOKE_EACH_SECONDS + draw();
    // Around an outage only the worst revocation is observed.
    if (!isDown(second)) at(second, () => revoke(!outage && turn % watchEach === 0));
  }
  if (outage) {
    // The worst moment for a revocation: acknowledged, and lost before any isolate has polled.
    at(outage.from - 0.001, () => revoke(true));
    at(outage.from, () => origin.goDown());
    at(back, () => origin.comeBack(outage.era));
  }
  for (const { from, seconds: lasting, share } of partitions) {
    const some = points.filter(() => draw() < share);
    const cutOff = some.length > 0 ? some : points.slice(0, 1);
    at(from, () => cutOff.forEach((point) => { point.isCutOff = true; }));
    at(from + lasting, () => cutOff.forEach((point) => { point.isCutOff = false; }));
  }
}

const requestsOf = (points) => points.reduce((sum, { requests }) => sum + requests, 0);

/** @param {number[]} arrivals in order */
function load(arrivals, from, measured) {
  const times = arrivals.filter((at) => at >= from);
  let peak = 0;
  for (let first = 0, last = 0; last < times.length; last += 1) {
    while (times[last] - times[first] >= 1) first += 1;
    peak = Math.max(peak, last - first + 1);
  }
  return { requestsPerSecond: times.length / measured, peakPerSecond: peak };
}
