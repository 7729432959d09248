// The JavaScript runtimes that are tested in addition to the Node that runs the tests: all of them come with
// `npm ci`, none needs its install script.

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** How to start a program in each runtime, as a command with its first arguments. */
export const RUNTIMES = {
  Node: [process.execPath],
  "newest Node": [newestNode()],
  Deno: [inPackage(denoPackage(), "deno"), "run", "--allow-all", "--no-lock", "--quiet"],
  Bun: [inPackage(bunPackage(), "bin/bun"), "run"],
};

/**
 * Runs a program of this repository in one of them, passes it `input` as JSON, and returns the last line of
 * JSON that it prints.
 *
 * @param {keyof typeof RUNTIMES} runtime @param {string} script @param {unknown} [input]
 * @param {{ args?: string[], env?: Record<string, string>, cwd?: string }} [how]
 */
export async function runIn(runtime, script, input, { args = [], env = {}, cwd } = {}) {
  const [command, ...first] = RUNTIMES[runtime];
  const child = spawn(command, [...first, script, ...args], {
    cwd, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.on("error", () => {}).end(JSON.stringify(input ?? null));
  let output = "";
  for await (const chunk of child.stdout.setEncoding("utf8")) output += chunk;
  const code = child.exitCode ?? (await new Promise((exited) => child.on("exit", exited)));
  if (code !== 0) throw new Error(`${runtime} ended with ${code}: ${output.slice(-2000)}`);
  return JSON.parse(output.trim().split("\n").at(-1));
}

/**
 * Starts a program that serves HTTP and prints its port on a separate line when it is ready.
 *
 * @param {keyof typeof RUNTIMES} runtime @param {string} script @param {unknown} input as above
 */
export async function serveIn(runtime, script, input) {
  const [command, ...first] = RUNTIMES[runtime];
  const child = spawn(command, [...first, script], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.on("error", () => {}).end(JSON.stringify(input));
  let output = "";
  for await (const chunk of child.stdout.setEncoding("utf8").iterator({ destroyOnReturn: false })) {
    output += chunk;
    if (output.includes("\n")) break;
  }
  if (!/^\d+\n/.test(output)) throw new Error(`${runtime} did not start: ${output}`);
  child.stdout.resume();
  return { url: `http://127.0.0.1:${output.trim()}`, close: () => void child.kill() };
}

/** Reads the JSON that `runIn` passes, in any of the runtimes. */
export async function readInput() {
  let text = "";
  for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
  return JSON.parse(text);
}

function newestNode() {
  const system = `${process.platform}-${process.arch}`;
  const names = [`node-${system}`, `node-bin-${system}`];
  for (const name of names) {
    try {
      return inPackage(name, "bin/node");
    } catch {
      // The other name is tried next.
    }
  }
  throw new Error(`no newest Node: neither ${names.join(" nor ")} is installed, run npm ci`);
}

function denoPackage() {
  return `@deno/${process.platform}-${process.arch}${process.platform === "linux" ? "-glibc" : ""}`;
}

function bunPackage() {
  return `@oven/bun-${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`;
}

/** @param {string} name @param {string} file */
function inPackage(name, file) {
  const path = join(dirname(require.resolve(`${name}/package.json`)), file);
  if (!existsSync(path)) throw new Error(`${name} has no ${file}`);
  return path;
}
