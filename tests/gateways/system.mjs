// What every gateway is tested with: a real control plane, a guard that follows it, and a service behind.

import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBinary, freePort, startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { bearer, ask } from "./client.mjs";
import { Server } from "./processes.mjs";
import { startUpstream } from "./upstream.mjs";

/**
 * Starts everything for one gateway.
 *
 * @param {{ name: string, dialect: string, start: (system: System) => Promise<Server> }} gateway `dialect` is
 *   the guard's name for it; `start` writes its files and says how to run it
 */
export async function startSystem(gateway) {
  const system = new System();
  try {
    await system.start(gateway);
  } catch (error) {
    await system.close();
    throw error;
  }
  return system;
}

class System {
  async start(gateway) {
    this.folder = await mkdtemp(join(tmpdir(), "offswitch-gateway-"));
    this.upstream = await startUpstream();
    this.plane = await startControlPlane();
    const { feed_public_keys: publicKeys } = await this.plane.call("GET", "/v1/keys");
    [this.guardPort, this.adminPort, this.port] = await freePorts(3);
    const settings = {
      gateway: gateway.dialect, listen: `127.0.0.1:${this.guardPort}`, admin_listen: `127.0.0.1:${this.adminPort}`,
      feed_urls: `${this.plane.url}/v1/feed`, feed_public_keys: publicKeys.join(","), public_url: "https://api.example",
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    const file = await this.write("guard.toml", `${lines.join("\n")}\n${tables(this.plane.url)}`);
    const env = { OFFSWITCH_GUARD_FEED_API_KEY: this.plane.apiKey };
    const command = [buildBinary("offswitch"), "guard", "--config", file];
    this.guard = new Server(command, this.guardPort, env);
    await this.guard.start();
    await this.guardIsReady();
    this.gateway = await gateway.start(this);
    await this.gateway.start();
    // Some gateways accept connections before they know where the service is.
    const isUp = await until(async () => (await ask(this.port, { path: "/public/up" })).status === 200, 30);
    if (!isUp) throw new Error(`${gateway.name} does not reach the service: ${this.gateway.log}`);
  }

  async guardIsReady() {
    const isReady = async () => (await fetch(`http://127.0.0.1:${this.adminPort}/readyz`).catch(() => undefined))?.ok;
    if (!await until(isReady, 60)) throw new Error(`the guard does not become ready: ${this.guard.log}`);
  }

  /** Writes a file; returns its path. */
  async write(name, text) {
    const path = join(this.folder, name);
    await writeFile(path, text);
    return path;
  }

  /** A certificate for the gateway and its key, as paths; `both` has them in one file. */
  certificate() {
    const [certificate, key, both] = ["tls.crt", "tls.key", "tls.pem"].map((name) => join(this.folder, name));
    const asked = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=api.example";
    execFileSync("openssl", [...asked.split(" "), "-keyout", key, "-out", certificate], { stdio: "pipe" });
    execFileSync("sh", ["-c", 'cat "$0" "$1" > "$2"', certificate, key, both]);
    return { certificate, key, both };
  }

  /** What the guides' files name, and what is there instead. */
  get addresses() {
    return {
      "127.0.0.1:8410": `127.0.0.1:${this.guardPort}`,
      "127.0.0.1:9000": `127.0.0.1:${this.upstream.port}`,
      "127.0.0.1:9001": `127.0.0.1:${this.upstream.grpcPort}`,
    };
  }

  /** A fresh token of a user. */
  async token(sub = "alice") {
    return (await this.plane.call("POST", "/v1/sessions", { sub })).access_token;
  }

  revoke(what) {
    return this.plane.call("POST", "/v1/revocations", what);
  }

  /** The status of a plain request with a token. */
  async status(token, path = "/orders/1") {
    return (await ask(this.port, { path, headers: [bearer(token)] })).status;
  }

  async close() {
    await this.gateway?.end();
    await this.guard?.end();
    await this.plane?.close();
    this.upstream?.close();
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
  }
}

async function freePorts(count) {
  const ports = new Set();
  while (ports.size < count) ports.add(await freePort());
  return ports;
}

/** The routes, and the headers with claims: no token has the claim of X-Tenant. */
const tables = (issuer) => `
[[issuers]]
issuer = "${issuer}"
audience = "api"
jwks_uri = "${issuer}/.well-known/jwks.json"

[[routes]]
paths = ["/public/**"]
access = "anonymous"

[[routes]]
paths = ["/optional/**"]
access = "optional"

[[routes]]
paths = ["/admin/**"]
scopes = ["admin"]

[[routes]]
paths = ["/fresh/**"]
max_staleness_seconds = 3

[[routes]]
paths = ["/**"]

[[headers]]
name = "X-User"
claim = "sub"

[[headers]]
name = "X-Tenant"
claim = "tenant"
`;
