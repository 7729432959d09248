// The vectors of HEAD.md, which the Rust reader passes too: what is read next, and which heads are refused.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FetchError, boundedExchange } from "../../verifier-wasm/js/feed/bounded-fetch.js";
import { readHead } from "../../verifier-wasm/js/feed/head.js";
import { Source } from "../../verifier-wasm/js/feed/source.js";
import { ROOT } from "../support/fixture.mjs";

const { cases, feed } = JSON.parse(readFileSync(`${ROOT}verifier-wasm/snapshot/vectors/heads.json`, "utf8"));

/** The first thing that a reader at `held` does with a head, in the words of the vectors. */
async function firstStep(head, held) {
  const found = [];
  const stop = () => { throw new FetchError("stop"); };
  const files = new Map([["head", JSON.stringify(head)]]);
  const get = (name) => {
    if (!files.has(name)) found.push(name);
    return files.get(name) ?? stop();
  };
  const target = {
    since: () => held ?? undefined,
    apply: () => void found.push("heartbeat") ?? { applied: "refreshed" },
  };
  const client = { settings: { id: feed, maxBytes: 1e6 }, target };
  const limits = { timeoutSeconds: 5 };
  const read = readHead(client, new Source("binding", undefined, () => "", { get }), limits, { FetchError, boundedExchange });
  const result = await read.catch(({ code, message }) => ({ code, message }));
  if (result.applied === "ignored") return "behind";
  if (result.code === "head_incomplete" && found.length === 0) return "no way";
  if (found.length === 0) return result;
  const isListed = head.deltas.some(({ from, to }) => found[0] === `deltas/${from}_${to}`);
  if (found[0] === "heartbeat") return "heartbeat";
  return `${found[0].startsWith("deltas") && !isListed ? "ask" : "fetch"} ${found[0]}`;
}

for (const { error, head, steps = [], what } of cases) {
  // P05: both readers agree.
  test(`the head of the vectors: ${what}`, async () => {
    if (error !== undefined) assert.equal((await firstStep(head, null)).code, error);
    for (const { held, may_ask: mayAsk, may_take_base: mayTakeBase, step } of steps) {
      // The other steps are later ones of a round.
      if (mayAsk && mayTakeBase) assert.equal(await firstStep(head, held), step, `from ${held}`);
    }
  });
}
