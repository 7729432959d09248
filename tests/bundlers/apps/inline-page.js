// An app in a browser, for bundlers that do not support wasm.

import { createVerifier } from "offswitch/inline";
import { judge } from "./judge.js";

window.run = async ({ options, tokens }) => judge(await createVerifier(options), tokens);
