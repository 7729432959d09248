// Random numbers that are the same in every run.

/** Numbers from 0 (inclusive) to 1 (Mulberry32). @param {number} seed */
export function chance(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from 0 to `below` - 1. @param {() => number} random @param {number} below */
export const upTo = (random, below) => Math.floor(random() * below);

/** The same list in random order. @param {any[]} list @param {() => number} random */
export function shuffled(list, random) {
  const left = [...list];
  return list.map(() => left.splice(upTo(random, left.length), 1)[0]);
}
