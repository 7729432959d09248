// Measures the npm package and its peers in one run, for `cargo xtask bench package`. Progress goes to standard error.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { MAX_JS_BYTES } from "../support/bundle.mjs";
import { RUNTIMES, runIn } from "../support/runtimes.mjs";
import { median } from "./clock.mjs";
import { measureHandlers } from "./handlers.mjs";
import { ALGORITHMS, makeMaterial, readMaterial } from "./material.mjs";
import { figure, ns, rate, ratios, readOrder, section, us } from "./order.mjs";
import { measureSizes } from "./sizes.mjs";
import { measureStart } from "./start.mjs";
import { runInWorkerd } from "./workerd.mjs";

const { scale, isAsked } = readOrder();

async function report() {
  say("making tokens and a base of many revocations");
  await makeMaterial(folder, { entries: scale.entries, seen: scale.seen_tokens, fresh: scale.fresh_tokens });
  const material = readMaterial(folder);
  const results = {};
  for (const runtime of scale.runtimes) {
    const asked = groups(runtime).filter(({ contest }) => isAsked(contest));
    if (asked.length === 0) continue;
    say(`tokens in ${runtime}`);
    results[runtime] = runtime === "workerd" ? await runInWorkerd(folder, asked)
      : await runIn(runtime, new URL("local.mjs", import.meta.url).pathname, { folder, groups: asked });
  }
  const handlers = {};
  for (const runtime of scale.handler_runtimes.filter((one) => isAsked(`${one} handlers`))) {
    say(`handlers in ${runtime}`);
    const how = { rounds: scale.load_rounds, seconds: scale.load_seconds, warmUpSeconds: scale.load_warm_up_seconds };
    handlers[runtime] = await measureHandlers(runtime, folder, material, how);
  }
  const sections = [seen(results), fresh(results), check(results), requests(handlers), await sizesAndStart(material)];
  return { versions: versions(), sections: sections.filter(Boolean) };
}

/** Which contestants take turns, and how many calls each has in a round. workerd has no fast-jwt. */
function groups(runtime) {
  const { fast_calls: fast, slow_calls: slow, rounds } = scale;
  const hasFastJwt = runtime !== "workerd";
  const seen = ["100", "10000"].map((many) => ({
    contest: `${runtime} seen ${many}`, rounds,
    calls: named(`seen ${many}`, {
      "offswitch": fast, "offswitch, nothing revoked": fast, ...(hasFastJwt ? { "fast-jwt with cache": fast } : {}), "jose": slow,
    }),
  }));
  const fresh = ALGORITHMS.map((alg) => ({
    contest: `${runtime} fresh ${alg}`, rounds,
    calls: named(`fresh ${alg}`, {
      "offswitch": slow, "offswitch, wasm alone": slow, "jose": slow, "hono": slow,
      ...(alg === "EdDSA" ? {} : { "tsndr": slow }), ...(hasFastJwt ? { "fast-jwt": slow } : {}),
    }),
  }));
  return [...seen, ...fresh];
}

const named = (prefix, calls) => Object.fromEntries(Object.entries(calls).map(([name, count]) => [`${prefix} ${name}`, count]));

function seen(results) {
  const figures = [];
  for (const [runtime, times] of Object.entries(results)) {
    for (const [many, tokens, goal] of [["100", "100 tokens in turn", 8], ["10000", "10,000 tokens at random", 2.5]]) {
      const [contest, ours] = [`${runtime} seen ${many}`, times[`seen ${many} offswitch`]];
      if (ours === undefined) continue;
      const compare = (peer, theirs, text, least) => theirs && figures.push(figure(
        contest, [runtime, tokens, peer], "times", ratios(theirs, ours), [text(theirs), ns(ours)], least && { least }));
      compare("fast-jwt with its cache", times[`seen ${many} fast-jwt with cache`], ns, goal);
      compare("jose", times[`seen ${many} jose`], us, runtime === "workerd" ? 50 : undefined);
    }
  }
  return section("A token seen before", `EdDSA, claims returned, revocation checked against a million entries; no peer checks revocation. The
token string is made fresh for each call, and that is part of every figure here.`,
  ["runtime", "tokens", "compared with", "it takes", "offswitch"], figures);
}

function fresh(results) {
  const figures = [];
  for (const [runtime, times] of Object.entries(results)) {
    for (const alg of ALGORITHMS) {
      const of = (name) => times[`fresh ${alg} ${name}`];
      const ours = of("offswitch");
      if (ours === undefined) continue;
      const peers = ["jose", "hono", "tsndr", "fast-jwt"].filter((name) => of(name) !== undefined);
      const best = peers.reduce((one, other) => (median(of(other)) < median(of(one)) ? other : one));
      const more = [best, us(ours), us(of("offswitch, wasm alone")), peers.map((name) => `${name} ${us(of(name))}`).join(", ")];
      const most = Math.min(1.1, median(of("jose")) / median(of(best)));
      figures.push(figure(`${runtime} fresh ${alg}`, [runtime, alg], "ratio", ratios(ours, of(best)), more, { most }));
    }
  }
  return section("A token never seen before", `Compared with the best peer. The goal: at most 1.1 times as long, and no longer
than jose. \`verify\` uses what was measured to be fastest here (\`loaders/\` of the package says what); "wasm alone" is \`verifySync\`. Ours checks
revocation against a million entries and remembers the token, which the peers do not.`,
  ["runtime", "alg", "best peer", "verify", "wasm alone", "peers"], figures);
}

function check(results) {
  const figures = Object.entries(results).flatMap(([runtime, times]) => ["100", "10000"].flatMap((many) => {
    const [held, none] = [times[`seen ${many} offswitch`], times[`seen ${many} offswitch, nothing revoked`]];
    if (held === undefined) return [];
    const added = held.map((one, round) => one - none[round]);
    const what = [runtime, Number(many).toLocaleString("en")];
    return [figure(`${runtime} seen ${many}`, what, "nanoseconds", added, [], { most: 300 })];
  }));
  return section("What the revocation check adds", `A million entries compared with none, the same tokens. The spread is that of the
difference of two times, each of which is several times as large.`, ["runtime", "tokens"], figures);
}

function requests(handlers) {
  const figures = Object.entries(handlers).map(([runtime, { offswitch, jose, nothing }]) => figure(
    `${runtime} handlers`, [runtime], "times", ratios(offswitch, jose), [offswitch, jose, nothing].map(rate), { least: 5 }));
  return section("Requests per second on one core", `The same Fetch handler (\`@hono/node-server\`, \`Deno.serve\`,
\`Bun.serve\`), 1,000 users in turn, wrk with 32 connections on the other core: guarded by Offswitch,
guarded by jose and a Redis \`GET\`, not guarded.`,
  ["runtime", "offswitch", "jose and Redis", "no guard"], figures);
}

async function sizesAndStart(material) {
  const figures = [];
  if (isAsked("sizes")) {
    const { wasm, js } = await measureSizes();
    const size = (what, bytes, most) => figures.push(figure("sizes", [what], "bytes", [bytes], [], { most }));
    size("wasm, gzipped", wasm, 130 * 1024);
    for (const [condition, bytes] of Object.entries(js)) {
      size(`JS for \`createVerifier\`, minified and gzipped, ${condition}`, bytes, MAX_JS_BYTES[condition]);
    }
  }
  if (isAsked("start")) {
    say("start in workerd");
    const times = (await measureStart(material, scale.starts)).map((milliseconds) => milliseconds * 1e6);
    figures.push(figure("start", ["module start to first verdict in workerd, no snapshot"], "nanoseconds", times, [], { most: 15e6 }));
  }
  return section("Size and start", "", ["what"], figures);
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

const say = (text) => console.error(`bench: ${text}`);

const folder = mkdtempSync(`${tmpdir()}/offswitch-bench-`);
try {
  console.log(JSON.stringify(await report()));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
