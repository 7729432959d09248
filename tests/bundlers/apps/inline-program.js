// The same with wasm in its own code: a single file is deployed.

import { readFileSync } from "node:fs";
import { createVerifier } from "offswitch/inline";
import { judge } from "./judge.js";

const { options, tokens } = JSON.parse(readFileSync(0, "utf8"));
createVerifier(options)
  .then((verifier) => judge(verifier, tokens))
  .then((codes) => console.log(JSON.stringify(codes)));
