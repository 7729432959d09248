// Measures the guard, and the gateways with it, for `cargo xtask bench gateways`: the program MEASURED_PROGRAM. FIXED_CHECK is the
// example of that name of the guard.

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
import { figure, rate, ratios, readOrder, section } from "./order.mjs";
import { measureRevocations } from "./revoked-at-gateways.mjs";

const { scale, isAsked } = readOrder();
const program = buildBinary("offswitch");
const how = { seconds: scale.load_seconds, warmUpSeconds: Math.min(scale.load_warm_up_seconds, 1) };
const gateways = Object.values(every).filter(({ name }) => scale.gateways.includes(name));
const folder = mkdtempSync(join(tmpdir(), "offswitch-gateways-"));
const opened = [];
const opening = (one) => {
  opened.push(one);
  return one;
};

async function report() {
  say("making tokens and a base of many revocations");
  await makeMaterial(folder, { entries: scale.entries, seen: 100, fresh: 1 });
  const material = readMaterial(folder);
  const feed = opening(await startFeed(material));
  const guards = {};
  for (const dialect of new Set(gateways.map((one) => one.dialect))) {
    guards[dialect] = opening(await startGuard(program, folder, dialect, feed, material));
  }
  const sections = [
    await checks(guards, material), await memory(material), await throughput(guards, material), await revocations(),
  ];
  return { versions: versions(), sections: sections.filter(Boolean) };
}

/** The guard alone: a token that it has seen, compared with a fixed answer of the same server. */
async function checks({ envoy, nginx }, { algorithms: { EdDSA: { tokens: [token] } } }) {
  if (!isAsked("checks")) return undefined;
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
  const found = rounds({
    "HTTP/1.1": () => wrk(`http://127.0.0.1:${nginx.port}/auth`, ofNginx, how),
    "HTTP/1.1, fixed": () => wrk(`http://127.0.0.1:${nginx.adminPort}/healthz`, ofNginx, how),
    "gRPC": () => h2load(grpc, { ...how, body }),
    "gRPC, fixed": () => h2load(`http://127.0.0.1:${fixed.port}${CHECK}`, { ...how, body }),
  });
  const figures = ["HTTP/1.1", "gRPC"].map((name) => {
    const [ours, fixed] = [found[name].perSecond, found[`${name}, fixed`].perSecond];
    return figure("checks", [name], "share", ratios(ours, fixed), [rate(ours), rate(fixed)], { least: 0.8 });
  });
  return section("The guard alone", `One token that it has seen, a million revocations held: ${memoryOf(nginx.pid).toFixed(0)} MiB of memory
afterwards. Compared with \`/healthz\` of the same process, with the same headers; for gRPC with the same server
answering every check alike (guard/examples/fixed_check.rs).`, ["asked over", "checks", "fixed answers"], figures);
}

/** Guards with many revocations: their memory, as a multiple of the base that they hold. */
async function memory(material) {
  if (!isAsked("memory")) return undefined;
  const pause = scale.starts > 1 ? 5000 : 1500;
  const found = await measureMemory(program, folder, material, scale.guard_entries, pause);
  const mib = (size) => `${size.toFixed(0)} MiB`;
  const figures = found.map(({ count, base, resident, replaced, peak }) => figure("memory",
    [count.toLocaleString("en")], "times", [peak / base], [base, resident, replaced, peak].map(mib)));
  return section("Memory of the guard", `The peak as a multiple of the base, without requests: that is while a second base takes the place of
the first.`, ["revocations", "base", "ready", "after another base", "peak"], figures);
}

/** Each gateway with the guard, without it, and with what a user would take instead. */
async function throughput(guards, material) {
  const contests = {};
  for (const gateway of gateways) (contests[`throughput of ${programOf(gateway)}`] ??= []).push(gateway);
  const asked = Object.entries(contests).filter(([contest]) => isAsked(contest));
  if (asked.length === 0) return undefined;
  const service = opening(await startService(folder));
  const { tokens } = material.algorithms.EdDSA;
  const [goals, rest] = [[], []];
  for (const [contest, those] of asked) {
    const contestants = {};
    const add = async (name, gateway, guardPort, edit) => {
      say(`starting ${name}`);
      const port = await startGateway(gateway, guardPort, service.port, edit);
      contestants[name] = () => wrk(`https://127.0.0.1:${port}/orders/1`, [`Authorization: Bearer ${tokens[0]}`], how);
    };
    for (const gateway of those) {
      const { port } = guards[gateway.dialect];
      await add(gateway.name, gateway, port);
      if (gateway !== every.envoyByHttp) await add(`${gateway.name}, no guard`, gateway, port, gateway.unguarded);
      if (gateway === every.envoyByGrpc) {
        await add("Envoy by gRPC, fixed answer", gateway, opening(await startFixedCheck()).port);
        await add("Envoy with jwt_authn", gateway, port, (text) => withFilter(text, jwtAuthn(material)));
      }
      if (gateway === every.nginx) {
        const { port: lookUp } = opening(await startLookUp(folder));
        await add("nginx, jose and Redis", gateway, lookUp, (text) => text.replace("http://guard/auth", "http://guard/"));
      }
    }
    const found = rounds(contestants);
    const compare = (name, peer, unit, goal) => {
      if (!(name in found)) return undefined;
      const [one, other] = [found[name], found[peer]];
      const latency = ({ milliseconds }) => `${median(milliseconds).toFixed(2)} ms`;
      const more = [rate(one.perSecond), rate(other.perSecond), latency(one), latency(other)];
      return figure(contest, [name, peer], unit, ratios(one.perSecond, other.perSecond), more, goal);
    };
    goals.push(compare("nginx", "nginx, jose and Redis", "times", { least: 4 }),
      compare("Envoy by gRPC", "Envoy with jwt_authn", "share", { least: 0.75 }),
      compare("Envoy by gRPC", "Envoy by gRPC, fixed answer", "share", { least: 0.75 }));
    for (const { name } of those) rest.push(compare(name, `${name.replace("by HTTP", "by gRPC")}, no guard`, "share"));
  }
  return section("Gateways with the guard", `The guides' configurations over TLS with HTTP/1.1, wrk with 32 connections and one token,
gateway, guard, service and wrk on the same cores. "jose and Redis" is \`auth_request\` to a Node service with jose and a Redis \`GET\`;
\`jwt_authn\` checks no revocation. "Fixed answer" is what Envoy reaches with a gRPC server that
gives every check the same answer (guard/examples/fixed_check.rs).`,
  ["with the guard", "compared with", "requests", "its requests", "median latency", "its latency"], [...goals, ...rest].filter(Boolean));
}

/** Both ways to ask the guard run in one Envoy's contest, since they are compared with the same peer. */
const programOf = ({ name }) => name.replace(/ by .*/, "");

/** How long a revoked token still gets through, by stream, with a control plane of its own. */
async function revocations() {
  const figures = [];
  for (const gateway of gateways.filter(({ name }) => isAsked(`revocations at ${name}`))) {
    say(`revocations at ${gateway.name}`);
    const times = await measureRevocations(gateway, scale.revocations);
    const size = Math.ceil(times.length / scale.rounds);
    const parts = Array.from({ length: Math.ceil(times.length / size) }, (_, part) => times.slice(part * size, (part + 1) * size));
    const p99 = times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)];
    const row = (what, rounds, goal) => figure(`revocations at ${gateway.name}`, [gateway.name, what], "nanoseconds", rounds,
      [String(times.length), `${(Math.max(...times) / 1e6).toFixed(0)} ms`], goal);
    figures.push(row("p50", parts.map(median)), row("p99", [p99], { most: 50e6 }));
  }
  const about = "From the answer to the revocation to the first refusal, the guard follows by stream, one revocation after the other.";
  return section("From a revocation to the refusal at a gateway", about, ["gateway", "percentile", "revocations", "max"], figures);
}

async function startGateway(gateway, guardPort, servicePort, edit) {
  const own = mkdtempSync(join(folder, "gateway-"));
  const system = {
    folder: own, port: await freePort(),
    addresses: {
      "127.0.0.1:8410": `127.0.0.1:${guardPort}`,
      "127.0.0.1:9000": `127.0.0.1:${servicePort}`, "127.0.0.1:9001": `127.0.0.1:${servicePort}`,
    },
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

/** The contestants in turns; what each has in each round. */
function rounds(contestants) {
  const found = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
  for (let round = 0; round < scale.load_rounds; round += 1) {
    for (const [name, run] of Object.entries(contestants)) {
      say(`${name}, round ${round + 1}`);
      found[name].push(run());
    }
  }
  const of = (all, what) => all.map((one) => one[what]);
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

const printed = (command) => execFileSync("sh", ["-c", `PATH=$PATH:/usr/sbin; ${command}`], { encoding: "utf8" });
const versions = () => `Versions: ${Object.entries({
  nginx: ["nginx -v 2>&1", /[\d.]+/], Caddy: ["caddy version", /[\d.]+/], HAProxy: ["haproxy -v", /[\d.]+/],
  wrk: ["wrk -v || true", /[\d.]+/], h2load: ["h2load --version", /\d+\.[\d.]+/],
}).map(([name, [command, pattern]]) => `${name} ${pattern.exec(printed(command))}`)
  .join(", ")}, Envoy 1.40.0, Traefik 3.7.15, Node ${process.versions.node}.`;
const say = (what) => console.error(`bench: ${what}`);

try {
  console.log(JSON.stringify(await report()));
} finally {
  for (const one of opened.reverse()) await (one.end ? one.end() : one.close());
  rmSync(folder, { recursive: true, force: true });
}
