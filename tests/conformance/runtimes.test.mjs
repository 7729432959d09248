import { fileURLToPath } from "node:url";
import { RUNTIMES, runIn } from "../support/runtimes.mjs";
import { expectConformance } from "./expect.mjs";

const program = fileURLToPath(new URL("program.mjs", import.meta.url));

for (const runtime of Object.keys(RUNTIMES)) {
  expectConformance(runtime, (data) => runIn(runtime, program, data), { hosts: ["node:crypto"] });
}
