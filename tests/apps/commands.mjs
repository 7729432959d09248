// Runs an application's commands like `npm run`: the application's own programs come first in the path.

import { spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { RUNTIMES } from "../support/runtimes.mjs";

/** Runs a command until it exits; unless it succeeds, throws an error with its whole output. */
export async function run(command, how) {
  const { child, printed } = begin(command, how);
  const code = await new Promise((ended) => child.on("close", ended));
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${printed()}`);
  return printed();
}

/** Starts a command that runs until `stop`. */
export function start(command, how) {
  const { child, printed } = begin(command, how);
  const ended = new Promise((resolve) => child.on("close", resolve));
  return {
    printed,
    hasEnded: () => child.exitCode !== null || child.signalCode !== null,
    // The whole process group: next and wrangler start child processes.
    stop: async () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // The process has already exited.
      }
      await ended;
    },
  };
}

function begin([program, ...args], { cwd, env = {}, newest = false }) {
  const [node] = RUNTIMES[newest ? "newest Node" : "Node"];
  const child = spawn(program, args, {
    cwd,
    detached: true,
    env: {
      ...environment(),
      ...QUIET,
      PATH: [dirname(node), join(cwd, "../node_modules/.bin"), process.env.PATH].join(delimiter),
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => (output = (output + text).slice(-20_000)));
  }
  child.on("error", (error) => (output += error.message));
  return { child, printed: () => output };
}

/** The environment without the variables of the test runner and its npm. */
function environment() {
  const theirs = /^(npm_|NODE_TEST_CONTEXT|NODE_OPTIONS|NODE_V8_COVERAGE|JEST|VITEST)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !theirs.test(name)));
}

const QUIET = {
  ASTRO_TELEMETRY_DISABLED: "1", CI: "true", NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "",
  WRANGLER_SEND_METRICS: "false", WRANGLER_HIDE_BANNER: "true",
};
