// How time is measured: the contestants take turns, so that a busy machine slows down all of them. `cargo xtask bench`
// makes figures of the rounds.

/**
 * @param {Record<string, (count: number) => number | Promise<number>>} contestants each runs this many
 *   calls and returns their duration in milliseconds
 * @param {{ calls: Record<string, number>, rounds: number }} how the calls of each in a round
 * @returns {Promise<Record<string, number[]>>} nanoseconds a call, for each round
 */
export async function takeTurns(contestants, { calls, rounds }) {
  const times = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (const [name, run] of Object.entries(contestants)) await run(calls[name]);
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, run] of Object.entries(contestants)) {
      times[name].push(((await run(calls[name])) * 1e6) / calls[name]);
    }
  }
  return times;
}

export const median = (all) => all.toSorted((a, b) => a - b)[all.length >> 1];

/** Runs the contestants one after the other; waits if a contestant waits. */
export async function inTurn(count, call, next) {
  for (let index = 0; index < count; index += 1) {
    const answer = call(next(index));
    if (answer instanceof Promise) await answer;
  }
}
