// A real Prometheus that scrapes a real control plane and a real guard, and the traffic that gives their metrics values.

import { chmod, copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Webhook } from "standardwebhooks";
import { readText } from "../documents/files.mjs";
import { installed, Server } from "../gateways/processes.mjs";
import { buildBinary, freePort, startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { startRedis } from "../support/redis.mjs";
import { ALERTS_FILE } from "./alerts.mjs";

const SECRET = `whsec_${Buffer.from("s".repeat(24)).toString("base64")}`;

export class Monitored {
  static async start() {
    const system = new Monitored();
    try {
      await system.#start();
    } catch (error) {
      await system.close();
      throw error;
    }
    return system;
  }

  async #start() {
    this.folder = await mkdtemp(join(tmpdir(), "offswitch-monitored-"));
    this.world = await startWorld();
    this.redis = await startRedis();
    const secrets = await this.#file("receivers.toml", ["polled", "streamed"].map((name) =>
      `[${name}]\ntransmitter = "${this.world.url}"\ntransmitter_token = "token"\n`).join("") + `[hook]\nwebhook = "${SECRET}"\n`);
    this.plane = await startControlPlane({
      OFFSWITCH_STORE: this.redis.url, OFFSWITCH_REDIS_TOLERATE: "eviction", OFFSWITCH_RECEIVER_SECRETS_FILE: secrets,
      // Nothing takes traces there: the spans are counted as failed.
      OTEL_EXPORTER_OTLP_ENDPOINT: this.world.url,
      OFFSWITCH_PUBLISH_TO: `file://${this.folder}/published`,
    });
    await this.#register();
    [this.checks, this.admin] = [await freePort(), await freePort()];
    const { feed_public_keys: keys } = await this.plane.call("GET", "/v1/keys");
    const file = await this.#file("guard.toml", guardToml(this, keys));
    const env = { OFFSWITCH_GUARD_FEED_API_KEY: this.plane.apiKey };
    this.guard = new Server([buildBinary("offswitch"), "guard", "--config", file], this.checks, env);
    await this.guard.start();
    const isReady = async () => (await fetch(`http://127.0.0.1:${this.admin}/readyz`).catch(() => undefined))?.ok;
    if (!await until(isReady, 60)) throw new Error(`the guard does not become ready: ${this.guard.log}`);
    // A restart, which the guard counts as a failure of the feed.
    await this.plane.kill();
    await this.plane.start();
    await this.#startPrometheus();
  }

  async #register() {
    const events = { audiences: ["https://rp.example"] };
    const issuers = {
      hook: { webhook: { events: { "user.banned": { user: "/user" } } } },
      polled: { events: { ...events, poll: { endpoint: `${this.world.url}/poll` } } },
      streamed: { events: { ...events, stream: { transmitter: this.world.url } } },
    };
    for (const [name, receivers] of Object.entries(issuers)) {
      await this.plane.call("PUT", `/v1/issuers/${name}`, { issuer: `https://${name}.example`, receivers });
    }
    const shop = { audience: "shop", backchannel_logout_uri: `${this.world.url}/logout` };
    await this.plane.call("PUT", "/v1/relying-parties/shop", shop);
  }

  /** With the configuration and the rules of deploy/prometheus, other addresses, and a scrape each second. */
  async #startPrometheus() {
    const key = await this.plane.call("POST", "/v1/api-keys", { name: "prometheus", scopes: ["metrics:read"] });
    await this.#file("metrics.key", key.key);
    await copyFile(ALERTS_FILE, join(this.folder, "alerts.yaml"));
    const config = readText("deploy/prometheus/prometheus.yaml").replaceAll("15s", "1s")
      .replace("127.0.0.1:8400", new URL(this.plane.url).host).replace("127.0.0.1:8411", `127.0.0.1:${this.admin}`);
    const file = await this.#file("prometheus.yaml", config);
    const port = await freePort();
    const options = [`--config.file=${file}`, `--web.listen-address=127.0.0.1:${port}`, `--storage.tsdb.path=${this.folder}/data`];
    this.prometheus = new Server([installed("prometheus"), ...options], port);
    await this.prometheus.start();
  }

  async #file(name, text) {
    const path = join(this.folder, name);
    await writeFile(path, text);
    await chmod(path, 0o600);
    return path;
  }

  /** Asks Prometheus. @returns {Promise<any>} `data` of the answer */
  async ask(path, parameters = {}) {
    const address = new URL(`http://127.0.0.1:${this.prometheus.port}/api/v1/${path}`);
    for (const [name, value] of Object.entries(parameters)) address.searchParams.set(name, value);
    const { status, data, error } = await (await fetch(address)).json();
    if (status !== "success") throw new Error(`${address.searchParams}: ${error}`);
    return data;
  }

  /** The series that an expression has now. @param {string} query */
  async query(query) {
    return (await this.ask("query", { query })).result;
  }

  /** The answer of the guard to a gateway. */
  check(token, path = "/orders/1") {
    const headers = {
      "x-original-method": "GET", "x-original-uri": path, "x-original-host": "api.example", "x-original-proto": "https",
      "x-request-id": "request-1", ...(token && { authorization: `Bearer ${token}` }),
    };
    return fetch(`http://127.0.0.1:${this.checks}/auth`, { headers });
  }

  /** Everything that counts in a metric once. */
  async makeTraffic() {
    const { plane } = this;
    await plane.call("POST", "/v1/keys/rotate", {});
    const session = await plane.call("POST", "/v1/sessions", { sub: "alice" });
    const { access_token: token, refresh_token: first } = session;
    await this.check(token);
    await this.check(token, "/open/1");
    await this.check();
    const second = await this.#refresh(first);
    await this.#refresh(first);
    await this.#refresh(second);
    // The successor was used: theft. The session ends, the shop is notified, and the watched connection too.
    await this.#refresh(first);
    await until(async () => (await this.check(token)).status === 401);
    await plane.call("POST", "/v1/revocations", { sub: "bob" });
    await plane.call("POST", "/v1/revocations", { nothing: 1 }).catch(() => undefined);
    const headers = { authorization: `Bearer ${plane.apiKey}` };
    const { position } = await plane.call("POST", "/v1/revocations?wait=applied", { sub: "carol" });
    void fetch(`${plane.url}/v1/feed?since=${position}&wait=20`, { headers }).catch(() => undefined);
    const body = JSON.stringify({ type: "user.banned", user: "dave" });
    const signed = { "webhook-id": "m", "webhook-timestamp": String(Math.floor(Date.now() / 1000)) };
    signed["webhook-signature"] = new Webhook(SECRET).sign("m", new Date(), body);
    await fetch(`${plane.url}/v1/receivers/hook/webhook`, { method: "POST", body, headers: { ...signed, "content-type": "application/json" } });
    this.guard.signal("SIGHUP");
  }

  /** Refreshes; the next refresh token, if there is one. */
  async #refresh(token) {
    const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token: token });
    return (await (await fetch(`${this.plane.url}/oauth/token`, { method: "POST", body })).json()).refresh_token;
  }

  async close() {
    for (const one of [this.prometheus, this.guard]) await one?.end();
    await this.plane?.close();
    await this.redis?.close().catch(() => undefined);
    this.world?.close();
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
  }
}

/** A relying party, a transmitter that has no events, and the callback of the guard; what it does not know is 404. */
async function startWorld() {
  const server = createServer((request, response) => {
    request.resume();
    const isPoll = request.url === "/poll";
    const isKnown = isPoll || ["/logout", "/ended"].includes(request.url);
    // Not more often than an answer that is held.
    setTimeout(() => response.writeHead(isKnown ? 200 : 404, { "content-type": "application/json" })
      .end(isPoll ? '{"sets":{}}' : undefined), isPoll ? 500 : 0);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const close = () => server.close() && server.closeAllConnections();
  return { close, url: `http://127.0.0.1:${server.address().port}` };
}

const guardToml = ({ plane, world, checks, admin }, keys) => `
gateway = "nginx"
listen = "127.0.0.1:${checks}"
admin_listen = "127.0.0.1:${admin}"
feed_urls = "${plane.url}/v1/feed"
feed_public_keys = "${keys.join(",")}"
watch_callback = "${world.url}/ended"

[[issuers]]
issuer = "${plane.url}"
audience = "api"
jwks_uri = "${plane.url}/.well-known/jwks.json"

[[routes]]
paths = ["/open/**"]
watch_seconds = 60

[[routes]]
paths = ["/**"]
`;
