// guard as the handler of Deno.serve and of Bun.serve.

import { fileURLToPath } from "node:url";
import { runIn } from "../support/runtimes.mjs";
import { expectAnswers } from "./expect.mjs";

const entry = fileURLToPath(new URL("serve-entry.mjs", import.meta.url));
expectAnswers("Deno.serve", (given) => runIn("Deno", entry, given));
expectAnswers("Bun.serve", (given) => runIn("Bun", entry, given));
