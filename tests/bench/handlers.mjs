// Requests per second on one core of the same Fetch handler: guarded by Offswitch, guarded by jose
// and a look-up in Redis, and unguarded. wrk makes the load on the other core.

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { RUNTIMES } from "../support/runtimes.mjs";

const run = promisify(execFile);
const SERVER = new URL("server.mjs", import.meta.url).pathname;

/**
 * @param {keyof typeof RUNTIMES} runtime @param {string} folder of the material @param {any} material
 * @param {{ rounds: number, seconds: number, warmUpSeconds: number }} how
 * @returns {Promise<Record<"offswitch" | "jose" | "nothing", number[]>>} requests per second, for each round
 */
export async function measureHandlers(runtime, folder, material, { rounds, seconds, warmUpSeconds }) {
  const place = mkdtempSync(`${tmpdir()}/offswitch-bench-`);
  const script = `${place}/tokens.lua`;
  writeFileSync(script, luaFor(material.algorithms.EdDSA.tokens.slice(0, TOKENS)));
  const redisPort = await freePort();
  const redis = spawn("redis-server", ["--port", `${redisPort}`, "--save", "", "--dir", place], { stdio: "ignore" });
  const servers = {};
  try {
    const rates = { offswitch: [], jose: [], nothing: [] };
    for (const which in rates) {
      servers[which] = await startServer(runtime, [which, folder, `redis://127.0.0.1:${redisPort}`]);
      if (warmUpSeconds > 0) await load(servers[which].port, script, warmUpSeconds);
    }
    for (let round = 0; round < rounds; round += 1) {
      for (const which in rates) rates[which].push(await load(servers[which].port, script, seconds));
    }
    return rates;
  } finally {
    for (const { child } of Object.values(servers)) child.kill("SIGKILL");
    redis.kill();
    rmSync(place, { recursive: true, force: true });
  }
}

async function startServer(runtime, args) {
  const [command, ...first] = RUNTIMES[runtime];
  const child = spawn("taskset", ["-c", "0", command, ...first, SERVER, ...args], {
    env: { ...process.env, NODE_ENV: "production" }, stdio: ["ignore", "pipe", "inherit"],
  });
  return { child, port: JSON.parse(await firstLine(child.stdout)).port };
}

/** Requests per second. */
async function load(port, script, seconds) {
  const { stdout } = await run("taskset", ["-c", "1", "wrk", "-t1", "-c32", `-d${seconds}s`,
    "-s", script, `http://127.0.0.1:${port}/`]);
  if (/Non-2xx/.test(stdout)) throw new Error(stdout);
  return Number(/Requests\/sec: +([\d.]+)/.exec(stdout)?.[1]);
}

async function firstLine(stream) {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) {
    text += chunk;
    if (text.includes("\n")) return text.split("\n")[0];
  }
  throw new Error("the server stopped");
}

function freePort() {
  return new Promise((found) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => found(port));
    });
  });
}

/** wrk calls this for each request: it takes the tokens in turn. */
function luaFor(tokens) {
  return `local tokens = {${tokens.map((token) => `"${token}"`).join(",")}}
local at = 0
request = function()
  at = at % #tokens + 1
  return wrk.format("GET", "/", { ["Authorization"] = "Bearer " .. tokens[at] })
end
`;
}

/** How many users send requests. */
const TOKENS = 1000;
