// Follows two feeds, one by its head and one by a binding, in Node, Deno or Bun.

import { createVerifier } from "offswitch";
import { combine } from "offswitch/feeds";
import { readInput } from "../support/runtimes.mjs";

const { options, other, files, tokens } = await readInput();
const binding = new Map(Object.entries(files).map(([name, text]) => [name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]));
const both = combine(await Promise.all([
  createVerifier(options),
  createVerifier({ ...other, feed: { ...other.feed, head: binding } }),
]));
const codes = [];
for (const token of tokens) codes.push((await both.verify(token)).code, both.verifySync(token).code);
const { ready, following } = both.status();
console.log(JSON.stringify({ codes, following, ready }));
both.close();
