// An app in a browser. `wasm` is where the file lies, for bundlers that do not take it along.

import { createVerifier } from "offswitch";
import { judge } from "./judge.js";

window.run = async ({ options, tokens, wasm }) =>
  judge(await createVerifier(wasm === undefined ? options : { ...options, wasm }), tokens);
