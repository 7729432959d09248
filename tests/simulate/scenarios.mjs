// The simulated scenarios. Times are seconds of virtual time.

const POLL = { follow: "poll", pollSeconds: 1 };
const BY_HEAD = { ...POLL, byHead: true };
const CACHE = { ttl: 1, staleIfError: 60 };
const LOSSES = 0.05;

/** One of several cells, in which nothing fails. Every revocation in it is observed. */
const STEADY = { isSteady: true, watchEach: 1 };

/**
 * `isSteady`: the bound of polling holds for every isolate, because nothing fails.
 * `cells`: what differs in each of several cells, all of which every isolate follows.
 */
export const SCENARIOS = [
  { name: "1. steady, no cache", feed: POLL, isSteady: true, seconds: 26 },
  { name: "2. steady, cache", cache: CACHE, feed: POLL, isSteady: true, seconds: 26 },
  {
    name: "3. losses and partitions, cache",
    cache: CACHE, feed: POLL, losses: LOSSES, seconds: 108,
    partitions: [{ from: 10, seconds: 30, share: 0.1 }, { from: 10, seconds: 64, share: 0 }],
  },
  {
    name: "4a. restart of 30 s, no cache",
    feed: POLL, outage: { from: 10, seconds: 30 }, seconds: 74,
  },
  {
    name: "4b. restart of 30 s, cache",
    cache: CACHE, feed: POLL, outage: { from: 10, seconds: 30 }, seconds: 74,
  },
  {
    name: "5a. down for 75 s, no cache",
    feed: POLL, outage: { from: 10, seconds: 75 }, seconds: 119,
  },
  {
    name: "5b. down for 75 s, then a new era, cache",
    cache: CACHE, feed: POLL, outage: { from: 10, seconds: 75, era: 2 }, seconds: 119,
  },
  {
    name: "6. steady, long polls, no cache",
    feed: { follow: "long-poll", longPollSeconds: 20, pollSeconds: 1 }, isSteady: true, seconds: 26,
  },
  { name: "7. steady, head in a store, cache", cache: CACHE, feed: BY_HEAD, isSteady: true, seconds: 26 },
  {
    name: "8. head, losses and partitions, cache",
    cache: CACHE, feed: BY_HEAD, losses: LOSSES, seconds: 108,
    partitions: [{ from: 10, seconds: 30, share: 0.1 }, { from: 10, seconds: 64, share: 0 }],
  },
  {
    name: "9. head, publisher down for 75 s, then a new era, cache",
    cache: CACHE, feed: BY_HEAD, outage: { from: 10, seconds: 75, era: 2 }, seconds: 119,
  },
  { name: "10. three feeds, steady, cache", cache: CACHE, feed: POLL, cells: [STEADY, STEADY, STEADY], seconds: 26 },
  {
    name: "11. three feeds, cell 2 down for 75 s, then a new era, cache",
    cache: CACHE, feed: POLL, seconds: 119,
    cells: [STEADY, { outage: { from: 10, seconds: 75, era: 2 } }, STEADY],
  },
];

/** The scenario of each cell. */
export function cellsOf({ cells, ...scenario }) {
  if (cells === undefined) return [scenario];
  return cells.map((own, nth) => ({ ...scenario, ...own, name: `${scenario.name}: cell ${nth + 1}` }));
}
