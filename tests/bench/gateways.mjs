// Measures the guard, and the gateways with it, and prints the section for BENCHMARKS.md, the ratio first.
// `gateways.mjs [--quick] [part …]`: some of checks, memory, throughput and revocations, of the program MEASURED_PROGRAM.
// FIXED_CHECK is the example of that name of the guard.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { withFilter } from "../gateways/envoy.mjs";
import * as every from "../gateways/every.mjs";
import { buildBinary, freePort } from "../support/control-plane.mjs";
import { CHECK, ExtAuthz, checkRequest } from "../support/ext-authz.mjs";
import { ISSUER } from "../support/fixture.mjs";
import { median } from "./clock.mjs";
import { measureMemory } from "./guard-memory.mjs";
import { h2load, memoryOf, startFeed, startFixedCheck, startGuard, startLookUp, startService, wrk } from "./guards.mjs";
import { makeMaterial, readMaterial } from "./material.mjs";
import { measureRevocations } from "./revoked-at-gateways.mjs";

const program = buildBinary("offswitch");
const more = process.argv.slice(2);
const QUICK = more.includes("--quick");
const parts = more.filter((one) => !one.startsWith("--"));
const how = QUICK ? { rounds: 1, seconds: 2 } : { rounds: 5, seconds: 4 };
const isAsked = (part) => parts.length === 0 || parts.includes(part);
const folder = mkdtempSync(join(tmpdir(), "offswitch-gateways-"));
const opened = [];
const opening = (one) => {
  opened.push(one);
  return one;
};

async function report() {
  say("making tokens and a base of a million revocations");
  await makeMaterial(folder, { entries: 1_000_000, seen: 100, fresh: 1 });
  const material = readMaterial(folder);
  const feed = opening(await startFeed(material));
  const guards = {};
  for (const dialect of new Set(Object.values(every).map((one) => one.dialect))) {
    guards[dialect] = opening(await startGuard(program, folder, dialect, feed, material));
  }
  const sections = [];
  if (isAsked("checks")) sections.push(await checks(guards, material));
  if (isAsked("memory")) sections.push(await memory(material));
  if (isAsked("throughput")) sections.push(await throughput(guards, material));
  if (isAsked("revocations")) sections.push(await revocations());
  return [versions(), ...sections].join("\n\n");
}

/** The guard alone: a token that it has seen, compared with a fixed answer of the same server. */
async function checks({ envoy, nginx }, { algorithms: { EdDSA: { tokens: [token] } } }) {
  const body = join(folder, "check");
  const headers = { authorization: `Bearer ${token}`, "user-agent": "wrk" };
  const asked = { path: "/orders/1", headers };
  writeFileSync(body, checkRequest(asked));
  const client = new ExtAuthz(envoy.port);
  const statuses = [await client.check(asked), await client.check({ path: "/orders/1" })].map(({ status }) => status);
  client.close();
  if (String(statuses) !== "200,401") throw new Error(`the guard answers ${statuses}`);
  const grpc = `http://127.0.0.1:${envoy.port}${CHECK}`;
  const ofNginx = [`Authorization: Bearer ${token}`, "X-Original-Method: GET", "X-Original-URI: /orders/1",
    "X-Original-Host: api.example", "X-Original-Proto: https"];
  const fixed = opening(await startFixedCheck());
  const found = await rounds({
    "HTTP/1.1": () => wrk(`http://127.0.0.1:${nginx.port}/auth`, ofNginx, how),
    "HTTP/1.1, fixed": () => wrk(`http://127.0.0.1:${nginx.adminPort}/healthz`, ofNginx, how),
    "gRPC": () => h2load(grpc, { ...how, body }),
    "gRPC, fixed": () => h2load(`http://127.0.0.1:${fixed.port}${CHECK}`, { ...how, body }),
  });
  const rows = ["HTTP/1.1", "gRPC"].map((name) => {
    const [ours, fixed] = [found[name].perSecond, found[`${name}, fixed`].perSecond];
    return [share(ours / fixed, 0.8), name, rate(ours), rate(fixed)];
  });
  return section("The guard alone", `One token that it has seen, a million revocations held: ${memoryOf(nginx.pid).toFixed(0)} MiB of memory
afterwards. Compared with \`/healthz\` of the same process, with the same headers; for gRPC with the same server
answering every check alike (guard/examples/fixed_check.rs).`, table(
    ["ratio (goal)", "asked over", "checks/s", "fixed answers/s"], rows));
}

/** A guard with a million revocations, and with ten. */
async function memory(material) {
  const counts = QUICK ? [1_000_000] : [1_000_000, 10_000_000];
  const mib = (size) => `${size.toFixed(0)} MiB`;
  const rows = (await measureMemory(program, folder, material, counts)).map(({ count, base, resident, replaced, peak }) =>
    [count.toLocaleString("en"), mib(base), mib(resident), mib(replaced), mib(peak)]);
  return section("Memory of the guard", "Without requests. The peak is while a second base takes the place of the first.", table(
    ["revocations", "base", "ready", "after another base", "peak"], rows));
}

/** Each gateway with the guard, without it, and with what a user would take instead. */
async function throughput(guards, material) {
  const { tokens } = material.algorithms.EdDSA;
  const service = opening(await startService(folder));
  const lookUp = opening(await startLookUp(folder));
  const contestants = {};
  const add = async (name, gateway, guardPort, edit) => {
    say(`starting ${name}`);
    const port = await startGateway(gateway, guardPort, service.port, edit);
    contestants[name] = () => wrk(`https://127.0.0.1:${port}/orders/1`, [`Authorization: Bearer ${tokens[0]}`], how);
  };
  for (const gateway of Object.values(every)) {
    const { port } = guards[gateway.dialect];
    await add(gateway.name, gateway, port);
    if (gateway !== every.envoyByHttp) await add(`${gateway.name}, no guard`, gateway, port, gateway.unguarded);
  }
  await add("Envoy by gRPC, fixed answer", every.envoyByGrpc, opening(await startFixedCheck()).port);
  await add("Envoy with jwt_authn", every.envoyByGrpc, guards.envoy.port, (text) => withFilter(text, jwtAuthn(material)));
  await add("nginx, jose and Redis", every.nginx, lookUp.port, (text) => text.replace("http://guard/auth", "http://guard/"));
  const found = await rounds(contestants);
  const rows = Object.entries(found).map(([name, { perSecond, milliseconds }]) => {
    const without = found[`${name.replace("by HTTP", "by gRPC")}, no guard`];
    return [name, rate(perSecond), `${milliseconds.toFixed(2)} ms`,
      without ? `${((100 * perSecond) / without.perSecond).toFixed(0)} %, ${signed(milliseconds - without.milliseconds)} ms` : ""];
  });
  const best = (name, peer, goal) => [goal(found[name].perSecond / found[peer].perSecond), `${name} with the guard`, peer];
  const goals = [
    best("nginx", "nginx, jose and Redis", (ratio) => times(ratio, 4)),
    best("Envoy by gRPC", "Envoy with jwt_authn", (ratio) => share(ratio, 0.75)),
    best("Envoy by gRPC", "Envoy by gRPC, fixed answer", (ratio) => share(ratio, 0.75)),
  ];
  return section("Gateways with the guard", `The guides' configurations over TLS with HTTP/1.1, wrk with 32 connections and one token, gateway, guard, service
and wrk on the same cores. "jose and Redis" is \`auth_request\` to a Node service with jose and a Redis \`GET\`;
\`jwt_authn\` checks no revocation. "Fixed answer" is what Envoy reaches with a gRPC server that
gives every check the same answer (guard/examples/fixed_check.rs).`, `${table(["ratio (goal)", "what", "compared with"], goals)}

${table(["what", "requests/s", "median latency", "compared with no guard"], rows)}`);
}

/** How long a revoked token still gets through, by stream, with a control plane of its own. */
async function revocations() {
  const rows = [];
  for (const gateway of Object.values(every)) {
    say(`revocations at ${gateway.name}`);
    const { p50, p99, max, count } = await measureRevocations(gateway, QUICK ? 10 : 100);
    rows.push([`${p99.toFixed(0)} ms${p99 <= 50 ? "" : " (missed)"}`, gateway.name, count, `${p50.toFixed(0)} ms`, `${max.toFixed(0)} ms`]);
  }
  return section("From a revocation to the refusal at a gateway", `From the answer to the revocation to the first refusal, the guard follows by stream, one revocation after the other.
The goal: 50 ms.`, table(["p99 (goal 50 ms)", "gateway", "revocations", "p50", "max"], rows));
}

async function startGateway(gateway, guardPort, servicePort, edit) {
  const own = mkdtempSync(join(folder, "gateway-"));
  const system = {
    folder: own, port: await freePort(),
    addresses: { "127.0.0.1:8410": `127.0.0.1:${guardPort}`, "127.0.0.1:9000": `127.0.0.1:${servicePort}`, "127.0.0.1:9001": `127.0.0.1:${servicePort}` },
    write(name, text) {
      writeFileSync(join(own, name), text);
      return join(own, name);
    },
    certificate() {
      const paths = ["tls.crt", "tls.key", "tls.pem"].map((name) => join(own, name));
      execFileSync("sh", ["-c", `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=api.example \
        -keyout "$1" -out "$0" 2>/dev/null && cat "$0" "$1" > "$2"`, ...paths]);
      const [certificate, key, both] = paths;
      return { certificate, key, both };
    },
  };
  const server = opening(await gateway.start(system, edit));
  await server.start();
  return server.port;
}

/** The contestants in turns; the median of each. */
async function rounds(contestants) {
  const found = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < how.rounds; round += 1) {
    for (const [name, run] of Object.entries(contestants)) {
      say(`${name}, round ${round + 1}`);
      found[name].push(run());
    }
  }
  const of = (all, what) => median(all.map((one) => one[what]));
  return Object.fromEntries(Object.entries(found).map(([name, all]) =>
    [name, { perSecond: of(all, "perSecond"), milliseconds: of(all, "milliseconds") }]));
}

const jwtAuthn = ({ algorithms: { EdDSA: { jwk } } }) => `- name: envoy.filters.http.jwt_authn
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
    providers:
      issuer:
        issuer: ${ISSUER}
        forward: true
        claim_to_headers: [{ header_name: x-user, claim_name: sub }]
        local_jwks: { inline_string: '${JSON.stringify({ keys: [jwk] })}' }
        jwt_cache_config: { jwt_cache_size: 1000 }
    rules: [{ match: { prefix: / }, requires: { provider_name: issuer } }]
`;

const versions = () => `Versions: ${Object.entries({
  nginx: ["nginx -v 2>&1", /[\d.]+/], Caddy: ["caddy version", /[\d.]+/], HAProxy: ["haproxy -v", /[\d.]+/],
  wrk: ["wrk -v || true", /[\d.]+/], h2load: ["h2load --version", /\d+\.[\d.]+/],
}).map(([name, [command, pattern]]) => `${name} ${pattern.exec(execFileSync("sh", ["-c", `PATH=$PATH:/usr/sbin; ${command}`], { encoding: "utf8" }))}`).join(", ")}, Envoy 1.40.0, Traefik 3.7.15, Node ${process.versions.node}.`;
const section = (title, about, content) => [`### ${title}`, about, content].filter(Boolean).join("\n\n");
const table = (head, rows) => [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
const share = (ratio, goal) => `**${(100 * ratio).toFixed(0)} %** (${goal * 100} %)${ratio >= goal ? "" : " missed"}`;
const times = (ratio, goal) => `**${ratio.toFixed(1)}×** (${goal})${ratio >= goal ? "" : " missed"}`;
const rate = (value) => Math.round(value).toLocaleString("en");
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
const say = (what) => console.error(what);

try {
  console.log(await report());
} finally {
  for (const one of opened.reverse()) await (one.end ? one.end() : one.close());
  rmSync(folder, { recursive: true, force: true });
}
