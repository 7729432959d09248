// A verifier in its own process, with the clock that the process was started with: reads its orders as JSON,
// follows the feed once, and prints the verdicts.

import { Verifier } from "offswitch";
import { memoryPlace, packed } from "../support/places.mjs";

let input = "";
for await (const chunk of process.stdin.setEncoding("utf8")) input += chunk;
const { options, kept, tokens } = JSON.parse(input);
const store = kept && memoryPlace({ snapshots: packed(Buffer.from(kept, "base64")) });
const verifier = new Verifier({ ...options, feed: { ...options.feed, store } });
const result = await verifier.refresh();
const judge = (token) => verifier.verifySync(token).code;
console.log(JSON.stringify({ now: Date.now() / 1000, result, codes: tokens.map(judge) }));
