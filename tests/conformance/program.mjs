// The suite as a program of Node, Deno or Bun; the package's exports choose the loader.

import * as offswitch from "offswitch";
import { nodeCrypto } from "../../verifier-wasm/js/engine/host-node-crypto.js";
import { readInput } from "../support/runtimes.mjs";
import { runSuite } from "./suite.mjs";

console.log(JSON.stringify(await runSuite({ ...offswitch, nodeCrypto }, await readInput())));
