// An app in a browser. `wasm` is the path of the file, for bundlers that do not copy it.

import { createVerifier } from "offswitch";
import { judge } from "./judge.js";

window.run = async ({ options, tokens, wasm }) =>
  judge(await createVerifier(wasm === undefined ? options : { ...options, wasm }), tokens);
