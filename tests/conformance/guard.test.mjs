// The cases through `offswitch guard`, over HTTP and over gRPC. Its clock stands still at the time of the cases.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Verifier } from "offswitch";
import { Server } from "../gateways/processes.mjs";
import { buildBinary, freePort } from "../support/control-plane.mjs";
import { ExtAuthz } from "../support/ext-authz.mjs";
import { fakedClock, withoutFaketime } from "../support/faketime.mjs";
import { until } from "../support/feed.mjs";
import { SYMMETRIC } from "./algorithms.mjs";
import { NOW } from "./cases/keys.mjs";
import { theCases } from "./expect.mjs";

const program = buildBinary("offswitch");
const folder = await mkdtemp(join(tmpdir(), "offswitch-conformance-"));
after(() => rm(folder, { recursive: true, force: true }));

// G01: what a gateway can send and a guard can be configured for. Secrets are never fetched; a header has no other
// characters; snapshots that arrive, and other times, are the client's and the verifier's own tests.
test("every case gets its verdict from the guard, over HTTP and gRPC", { skip: withoutFaketime, timeout: 1_200_000 }, async (context) => {
  const { verifiers, cases } = theCases();
  const isSecret = ({ options }) => issuersOf(options).some(({ algorithms = [] }) => SYMMETRIC.some((alg) => algorithms.includes(alg)));
  const isFollowed = ({ options, snapshots }) => options.feed.onStale === undefined && snapshots.length > 0
    && snapshots.every(({ code }) => code === "replaced");
  const asked = Object.entries(verifiers).filter(([, one]) => !isSecret(one) && isFollowed(one));
  const names = asked.map(([name]) => name);
  const isArriving = new Set(cases.filter((one) => one.apply !== undefined).map(({ verifier }) => verifier));
  const packages = Object.fromEntries(asked.map(([name, verifier]) => [name, packageFor(verifier)]));
  const sent = cases.filter(({ at = 0, code, policy, token, verifier }) =>
    names.includes(verifier) && !isArriving.has(verifier) && at === 0 && policy === undefined && isHeader(token)
      && packages[verifier].verifySync(token).code === code);
  for (const one of Object.values(packages)) one.close();
  let valid = 0;
  const differences = [];
  for (const [name, verifier] of asked) {
    const own = sent.filter((one) => one.verifier === name);
    if (own.length === 0) continue;
    for (const way of [overHttp, overGrpc]) {
      for (const { expected, found, of } of await judge(verifier, own, way)) {
        if (found === expected) valid += expected.startsWith("200") ? 1 : 0;
        else differences.push({ way: way.name, verifier: name, of, expected, found });
      }
    }
  }
  assert.deepEqual(differences.slice(0, 20), []);
  context.diagnostic(`${sent.length} of ${cases.length} cases, ${valid / 2} of them valid, each over HTTP and gRPC`);
  assert.ok(sent.length > 9000, `only ${sent.length} cases`);
  assert.equal(valid, sent.filter(({ outcome }) => outcome === "valid").length * 2);
});

/** Starts a guard for a verifier's options, and asks it about the cases. */
async function judge({ options, snapshots }, cases, way) {
  const [port, adminPort] = [await freePort(), await freePort()];
  const origin = await serve(issuersOf(options).map(({ keys }) => keys), Buffer.from(snapshots.at(-1).bytes, "base64"));
  const file = join(folder, "guard.toml");
  await writeFile(file, configuration(options, { port, adminPort, origin, gateway: way.gateway }));
  const instant = new Date(NOW * 1000).toISOString().slice(0, 19).replace("T", " ");
  const guard = new Server([program, "guard", "--config", file], port,
    fakedClock(instant));
  try {
    await guard.start();
    const isReady = async () => origin.isServed() && (await way(port, [cases[0]]))[0].found !== "503 undefined";
    assert.ok(await until(isReady, 30), guard.log);
    return await untilKeysAreThere(port, cases, way);
  } finally {
    await guard.end();
    origin.close();
  }
}

/** Asks again, as the guard says with Retry-After, where the search for an unknown key took too long. */
async function untilKeysAreThere(port, cases, way) {
  const found = await way(port, cases);
  const isOpen = ({ expected, found }) => found === "503 keys_unavailable" && expected !== found;
  for (let round = 0; round < ROUNDS && found.some(isOpen); round += 1) {
    const open = found.flatMap((one, index) => (isOpen(one) ? [index] : []));
    const again = await way(port, open.map((index) => cases[index]));
    open.forEach((index, at) => { found[index] = again[at]; });
  }
  return found;
}

async function overHttp(port, cases) {
  const found = await Promise.all(cases.map(async ({ token }) => {
    const answer = await fetch(`http://127.0.0.1:${port}/auth`, { headers: {
      "authorization": `Bearer ${token}`, "x-original-method": "GET", "x-original-uri": "/",
    } });
    await answer.arrayBuffer();
    return [answer.status, Object.fromEntries(answer.headers)];
  }));
  return compared(cases, found);
}
overHttp.gateway = "nginx";

async function overGrpc(port, cases) {
  const client = new ExtAuthz(port);
  const found = await Promise.all(cases.map(async ({ token }) => {
    const { status, headers } = await client.check({ headers: { authorization: `Bearer ${token}` } });
    return [status, headers];
  }));
  client.close();
  return compared(cases, found);
}
overGrpc.gateway = "envoy";

/** Status, code, and the claims as they were signed. */
function compared(cases, found) {
  return cases.map(({ code, name, outcome, token }, index) => {
    const [status, headers] = found[index];
    const claims = headers["x-claims"];
    const shown = status === 200 ? claims : headers["offswitch-verdict"];
    const wanted = outcome === "valid" ? token.split(".")[1] : code;
    return { of: name, expected: `${STATUSES[outcome]} ${wanted}`, found: `${status} ${shown}` };
  });
}

/** Serves the key sets and the snapshot. */
async function serve(sets, snapshot) {
  let served = 0;
  const server = createServer((request, response) => {
    const [, at] = /^\/keys\/(\d+)$/.exec(request.url) ?? [];
    if (at !== undefined) return response.end(JSON.stringify(sets[at]));
    served += 1;
    response.writeHead(200, { "content-type": "application/octet-stream" }).end(snapshot);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url, close, isServed: () => served > 0 };
}

/** The options of a verifier as a guard's configuration. */
function configuration({ feed, ...options }, { adminPort, gateway, origin, port }) {
  const lines = [
    `gateway = "${gateway}"`, `listen = "127.0.0.1:${port}"`, `admin_listen = "127.0.0.1:${adminPort}"`,
    `feed_urls = "${origin.url}/feed"`, `feed_public_keys = "${feed.publicKeys}"`, `feed_id = "${feed.id}"`,
    `feed_follow = "poll"`, `max_staleness_seconds = ${feed.maxStaleness ?? 60}`, `log = "warn"`,
  ];
  issuersOf({ feed, ...options }).forEach((one, at) => {
    lines.push("[[issuers]]", `jwks_uri = "${origin.url}/keys/${at}"`);
    const { requiredClaims = [] } = one;
    const required = Array.isArray(requiredClaims) ? { required_claims: one.requiredClaims } : { required_values: requiredClaims };
    const members = {
      issuer: one.issuer, audience: one.audience, algorithms: one.algorithms, leeway_seconds: one.leewaySeconds,
      types: one.types?.map((type) => type ?? ""), max_lifetime_seconds: one.maxLifetime, ...required,
    };
    for (const [name, value] of Object.entries(members)) if (value !== undefined) lines.push(`${name} = ${toml(value)}`);
  });
  lines.push("[[routes]]", 'paths = ["/**"]', "[[headers]]", 'name = "X-Claims"', 'claim = "*"', 'encoding = "base64url"');
  return `${lines.join("\n")}\n`;
}

/** The issuers of a verifier; one alone is given with the other options. */
const issuersOf = ({ issuers, feed: _, ...only }) => issuers ?? [only];

/** The npm package with what a guard has settings for: it has no `userRule`, and a few verdicts depend on that. */
function packageFor({ now, options, snapshots }) {
  const verifier = new Verifier({ ...options, userRule: undefined, rememberedTokens: 0, clock: () => now });
  for (const { bytes } of snapshots) verifier.apply(Buffer.from(bytes, "base64"));
  return verifier;
}

function toml(value) {
  if (Array.isArray(value)) return `[${value.map(toml).join(", ")}]`;
  if (typeof value === "object") return `{ ${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)} = ${toml(one)}`).join(", ")} }`;
  return JSON.stringify(value);
}

/** What HTTP takes as a header's value; a guard forwards claims of 8 KiB. */
const isHeader = (token = "") => /^[\x21-\x7e]+$/.test(token) && !token.includes(",")
  && token.length <= 16_384 && (token.split(".")[1] ?? "").length <= 8192;
const ROUNDS = 20;
const STATUSES = { refused: 401, undecided: 503, valid: 200 };
