// Guards that hold a million revocations, and what gateways are put in front of, for measurements.

import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server, installed } from "../gateways/processes.mjs";
import { freePort } from "../support/control-plane.mjs";
import { ISSUER } from "../support/fixture.mjs";
import { SNAPSHOT_TYPE, until } from "../support/feed.mjs";
import { startRedis } from "../support/redis.mjs";

/** Serves the base and the key set of the material. */
export async function startFeed(material) {
  const { jwk } = material.algorithms.EdDSA;
  const server = createServer((request, response) => {
    if (request.url.startsWith("/jwks")) return response.end(JSON.stringify({ keys: [jwk] }));
    response.writeHead(200, { "content-type": SNAPSHOT_TYPE }).end(material.base);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** A guard for one gateway, ready. */
export async function startGuard(program, folder, dialect, feed, material) {
  const [port, adminPort] = [await freePort(), await freePort()];
  await mkdir(folder, { recursive: true });
  const file = join(folder, `guard-${dialect}.toml`);
  await writeFile(file, `
gateway = "${dialect}"
listen = "127.0.0.1:${port}"
admin_listen = "127.0.0.1:${adminPort}"
feed_urls = "${feed.url}/v1/feed"
feed_public_keys = "${material.publicKey}"
feed_id = "feed"
feed_follow = "poll"
max_staleness_seconds = 86400
log = "warn"
[[issuers]]
issuer = "${ISSUER}"
audience = "unchecked"
types = ["JWT"]
jwks_uri = "${feed.url}/jwks"
required_claims = ["exp", "iat", "sub", "jti"]
[[routes]]
paths = ["/**"]
[[headers]]
name = "X-User"
claim = "sub"
[[headers]]
name = "X-Tenant"
claim = "tenant"
`);
  const guard = new Server([program, "guard", "--config", file], port);
  await guard.start();
  const isReady = async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`).catch(() => undefined))?.ok;
  if (!await until(isReady, 60)) throw new Error(`the guard does not become ready: ${guard.log}`);
  return Object.assign(guard, { adminPort });
}

/** The peer of a guard over gRPC: it gives every check the same answer. */
export async function startFixedCheck() {
  const port = await freePort();
  const server = new Server([process.env.FIXED_CHECK, String(port)], port);
  await server.start();
  return server;
}

/** Memory of a process, MiB. */
export function memoryOf(pid) {
  const [, kib] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(kib) / 1024;
}

/** The service behind the gateways: nginx with a fixed answer, so that it costs little. */
export async function startService(folder) {
  const port = await freePort();
  const file = join(folder, "service.conf");
  await writeFile(file, `worker_processes 1; error_log stderr crit; pid ${folder}/service.pid; daemon off;
events {} http { access_log off; keepalive_requests 1000000; server { listen 127.0.0.1:${port}; location / { return 200 "hello"; } } }`);
  const service = new Server([installed("nginx"), "-c", file, "-p", folder, "-e", "stderr"], port);
  await service.start();
  return service;
}

/** What a user would take instead: a Node service with jose and a Redis GET. */
export async function startLookUp(materialFolder) {
  const redis = await startRedis();
  const entry = fileURLToPath(new URL("server.mjs", import.meta.url));
  const child = spawn(process.execPath, [entry, "jose", materialFolder, redis.url], { stdio: ["ignore", "pipe", "inherit"] });
  const { port } = JSON.parse(await new Promise((resume) => child.stdout.once("data", (text) => resume(String(text)))));
  return {
    port,
    close: async () => {
      child.kill("SIGKILL");
      await redis.close();
    },
  };
}

/**
 * Requests per second and the median latency by wrk.
 *
 * @param {string} url @param {string[]} headers @param {{ seconds: number, connections?: number }} how
 */
export function wrk(url, headers, { seconds, connections = 32 }) {
  const asked = ["-t", "1", "-c", String(connections), "-d", `${seconds}s`, "--latency", ...headers.flatMap((one) => ["-H", one]), url];
  const text = execFileSync(installed("wrk"), asked, { encoding: "utf8" });
  const wrong = /Non-2xx or 3xx responses: (\d+)/.exec(text) ?? /Socket errors:.*/.exec(text);
  if (wrong) throw new Error(`${url}: ${wrong[0]}`);
  const [, value, unit] = /50%\s+([\d.]+)(us|ms|s)/.exec(text);
  const milliseconds = Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit];
  return { perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]), milliseconds };
}

/** Requests per second over HTTP/2 by h2load; with a body they are POSTs of gRPC. */
export function h2load(url, { seconds, warmUpSeconds, body }) {
  const grpc = body ? ["-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers"] : [];
  const asked = ["-c", "8", "-m", "8", "-D", String(seconds), "--warm-up-time", String(warmUpSeconds), ...grpc, url];
  const text = execFileSync(installed("h2load", "nghttp2-client"), asked, { encoding: "utf8" });
  const [, failed] = /(\d+) failed, \d+ errored/.exec(text);
  if (failed !== "0") throw new Error(`${url}: ${text}`);
  return { perSecond: Number(/finished in [\d.]+\w+, ([\d.]+) req\/s/.exec(text)[1]) };
}
