// How time is taken: contestants in turns, so that a machine that is busy for a while slows down all
// of them, and the median of the rounds.

/**
 * @param {Record<string, (count: number) => number | Promise<number>>} contestants each runs so many
 *   calls and answers with how long they took, milliseconds
 * @param {{ calls: number, rounds: number }} how
 * @returns {Promise<Record<string, number>>} nanoseconds a call
 */
export async function takeTurns(contestants, { calls, rounds }) {
  const times = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (const run of Object.values(contestants)) await run(calls);
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of Object.entries(contestants)) {
      times[name].push(((await run(calls)) * 1e6) / calls);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, all]) => [name, median(all)]));
}

export const median = (all) => all.toSorted((a, b) => a - b)[all.length >> 1];

/** One after the other; waits where the contestant does. */
export async function inTurn(count, call, next) {
  for (let index = 0; index < count; index += 1) {
    const answer = call(next(index));
    if (answer instanceof Promise) await answer;
  }
}
