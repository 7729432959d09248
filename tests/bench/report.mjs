// Measures the npm package and its peers in one run and prints the section for BENCHMARKS.md, the
// ratio first. Progress goes to standard error.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { MAX_JS_BYTES } from "../support/bundle.mjs";
import { RUNTIMES, runIn } from "../support/runtimes.mjs";
import { measureHandlers } from "./handlers.mjs";
import { ALGORITHMS, makeMaterial, readMaterial } from "./material.mjs";
import { measureSizes } from "./sizes.mjs";
import { measureStart } from "./start.mjs";
import { runInWorkerd } from "./workerd.mjs";

const QUICK = process.argv.includes("--quick");
async function report() {
  say("making tokens and a base of a million revocations");
  await makeMaterial(folder, { entries: 1_000_000, seen: 10_000, fresh: 2000 });
  const material = readMaterial(folder);
  const results = {};
  for (const runtime of Object.keys(RUNTIMES)) {
    say(`tokens in ${runtime}`);
    results[runtime] = await runIn(runtime, new URL("local.mjs", import.meta.url).pathname, { folder, groups: groups(true) });
  }
  say("tokens in workerd");
  results.workerd = await runInWorkerd(folder, groups(false));
  say("start in workerd");
  const start = await measureStart(material, QUICK ? 3 : 9);
  const handlers = {};
  for (const runtime of ["Node", "newest Node", "Deno", "Bun"]) {
    say(`handlers in ${runtime}`);
    handlers[runtime] = await measureHandlers(runtime, folder, material, QUICK ? { rounds: 1, seconds: 2 } : { rounds: 3, seconds: 5 });
  }
  const sizes = await measureSizes();
  return [versions(), seenTable(results), freshTable(results), checkTable(results), handlerTable(handlers),
    packageTable(sizes, start)].join("\n\n");
}

/** Which contestants take turns. workerd has no fast-jwt. */
function groups(hasFastJwt) {
  const rounds = QUICK ? 3 : 9;
  const seen = ["100", "10000"].map((many) => ({
    names: ["offswitch", "offswitch, nothing revoked", "string alone", ...(hasFastJwt ? ["fast-jwt with cache"] : [])]
      .map((name) => `seen ${many} ${name}`),
    calls: 50_000, rounds,
  }));
  const jose = { names: ["seen 100 jose", "seen 10000 jose"], calls: 1500, rounds };
  const fresh = ALGORITHMS.map((alg) => ({
    names: ["offswitch", "offswitch, wasm alone", "jose", "hono", ...(alg === "EdDSA" ? [] : ["tsndr"]),
      ...(hasFastJwt ? ["fast-jwt"] : [])].map((name) => `fresh ${alg} ${name}`),
    calls: 2000, rounds,
  }));
  return [...seen, jose, ...fresh];
}

function seenTable(results) {
  const rows = [];
  for (const [runtime, times] of Object.entries(results)) {
    for (const [many, what, goal] of [["100", "100 tokens in turn", 8], ["10000", "10,000 tokens at random", 2.5]]) {
      const ours = times[`seen ${many} offswitch`];
      const peer = times[`seen ${many} fast-jwt with cache`];
      if (peer !== undefined) rows.push([timesOf(peer / ours, goal), runtime, what, `fast-jwt with its cache ${ns(peer)}`, ns(ours)]);
      const jose = times[`seen ${many} jose`];
      rows.push([timesOf(jose / ours, runtime === "workerd" ? 50 : undefined), runtime, what, `jose ${us(jose)}`, ns(ours)]);
    }
  }
  return section("A token seen before", `EdDSA, claims returned, revocation checked against a million entries; no peer checks revocation. The
token string is made fresh for each call, and that is part of every figure here.`, table(
    ["ratio (goal)", "runtime", "tokens", "peer", "offswitch"], rows));
}

function freshTable(results) {
  const rows = [];
  for (const [runtime, times] of Object.entries(results)) {
    for (const alg of ALGORITHMS) {
      const of = (name) => times[`fresh ${alg} ${name}`];
      const peers = ["jose", "hono", "tsndr", "fast-jwt"].filter((name) => of(name) !== undefined);
      const best = peers.reduce((one, other) => (of(other) < of(one) ? other : one));
      const ours = of("offswitch");
      const ratio = ours / of(best);
      const isGood = ratio <= 1.1 && ours < of("jose");
      rows.push([`**${ratio.toFixed(2)}** of ${best}${isGood ? "" : " (missed)"}`, runtime, alg, us(ours),
        us(of("offswitch, wasm alone")), peers.map((name) => `${name} ${us(of(name))}`).join(", ")]);
    }
  }
  return section("A token never seen before", `The goal: at most 1.1 times the best peer, and ahead of jose. \`verify\` uses what was measured to be
fastest here (\`loaders/\` of the package says what); "wasm alone" is \`verifySync\`. Ours checks
revocation against a million entries and remembers the token, which the peers do not.`, table(
    ["ratio", "runtime", "alg", "verify", "wasm alone", "peers"], rows));
}

function checkTable(results) {
  const rows = Object.entries(results).flatMap(([runtime, times]) => ["100", "10000"].map((many) => {
    const more = times[`seen ${many} offswitch`] - times[`seen ${many} offswitch, nothing revoked`];
    return [`**${ns(Math.max(more, 0))}**${more <= 300 ? "" : " (missed)"}`, runtime, Number(many).toLocaleString("en")];
  }));
  return section("What the revocation check adds", "A million entries against none, the same tokens. The goal: at most 300 ns.",
    table(["added", "runtime", "tokens"], rows));
}

function handlerTable(handlers) {
  const rows = Object.entries(handlers).map(([runtime, { offswitch, jose, nothing }]) =>
    [timesOf(offswitch / jose, 5), runtime, rate(offswitch), rate(jose), rate(nothing)]);
  return section("Requests per second on one core", `The same Fetch handler (\`@hono/node-server\`, \`Deno.serve\`, \`Bun.serve\`), 1,000 users in turn, wrk with
32 connections on the other core: guarded by Offswitch, guarded by jose and a Redis \`GET\`, not guarded.`, table(
    ["ratio (goal)", "runtime", "offswitch", "jose and Redis", "no guard"], rows));
}

function packageTable({ wasm, js }, start) {
  const limit = (value, most, unit) => `**${(value / most).toFixed(2)}** of ${most.toLocaleString("en")} ${unit}${value <= most ? "" : " (missed)"}`;
  const rows = [
    [limit(wasm, 130 * 1024, "bytes"), "wasm, gzipped", wasm.toLocaleString("en")],
    ...Object.entries(js).map(([condition, bytes]) => [limit(bytes, MAX_JS_BYTES[condition], "bytes"),
      `JS for \`createVerifier\`, minified and gzipped, ${condition}`, bytes.toLocaleString("en")]),
    [limit(start, 15, "ms"), "module start to first verdict in workerd, no snapshot", `${start.toFixed(1)} ms`],
  ];
  return section("Size and start", "", table(["of its limit", "what", "measured"], rows));
}

function versions() {
  const require = createRequire(import.meta.url);
  const of = (name) => `${name} ${JSON.parse(readFileSync(require.resolve(`${name}/package.json`))).version}`;
  const packages = ["jose", "fast-jwt", "hono", "@tsndr/cloudflare-worker-jwt", "@hono/node-server", "ioredis", "workerd"];
  const runtimes = Object.entries(RUNTIMES).map(([name, [command]]) =>
    `${name} ${execFileSync(command, ["--version"], { encoding: "utf8" }).split("\n")[0].replace(/^(deno|v) ?/, "").split(" ")[0]}`);
  return `Versions: ${[...runtimes, ...packages.map(tryOf)].filter(Boolean).join(", ")}.`;

  function tryOf(name) {
    try {
      return of(name);
    } catch {
      return undefined; // its package.json cannot be imported
    }
  }
}

const section = (title, text, body) => [`### ${title}`, text, body].filter(Boolean).join("\n\n");
const table = (head, rows) => [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const timesOf = (ratio, goal) => `**${ratio.toFixed(ratio < 20 ? 1 : 0)}×**${goal === undefined ? "" : ` (${goal})`}${goal === undefined || ratio >= goal ? "" : " missed"}`;
const ns = (value) => `${Math.round(value)} ns`;
const us = (value) => `${(value / 1000).toFixed(value < 20_000 ? 1 : 0)} µs`;
const rate = (value) => `${Math.round(value).toLocaleString("en")}/s`;
const say = (text) => console.error(`bench: ${text}`);

const folder = mkdtempSync(`${tmpdir()}/offswitch-bench-`);
try {
  console.log(await report());
} finally {
  rmSync(folder, { recursive: true, force: true });
}
