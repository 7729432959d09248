// A program for Node, Deno or Bun: reads its input as JSON, writes its verdicts as JSON.

import { readFileSync } from "node:fs";
import { createVerifier } from "offswitch";
import { judge } from "./judge.js";

const { options, tokens, wasm } = JSON.parse(readFileSync(0, "utf8"));
const more = wasm === undefined ? {} : { wasm: readFileSync(wasm) };
createVerifier({ ...options, ...more })
  .then((verifier) => judge(verifier, tokens))
  .then((codes) => console.log(JSON.stringify(codes)));
