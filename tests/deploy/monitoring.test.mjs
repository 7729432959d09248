// A real Prometheus scrapes a real control plane and a real guard. The dashboard and the alert rules find in it what they
// ask for, and the reference of metrics lists what is there. O03.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { readText } from "../documents/files.mjs";
import { installed } from "../gateways/processes.mjs";
import { until } from "../support/feed.mjs";
import { alerts, metricsIn } from "./alerts.mjs";
import { Monitored } from "./monitoring.mjs";

const dashboard = JSON.parse(readText("deploy/grafana/offswitch.json"));
const targets = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));
/** What counts only under a load that tests elsewhere make: too many connections, requests or slow peers. */
const UNDER_LOAD = [
  "offswitch_connections_closed_total", "offswitch_connections_refused_total", "offswitch_requests_refused_total",
  "offswitch_streams_reset_total",
];

let system;
before(async () => {
  system = await Monitored.start();
  await system.makeTraffic();
  // The one finding: Redis may evict keys.
  await system.redis.command("CONFIG SET maxmemory-policy allkeys-lru");
  const isSeen = async () => (await system.query("offswitch_store_finding == 1")).length > 0
    && (await system.query('offswitch_guard_reloads_total{outcome="taken"} > 0')).length > 0
    && (await system.query("offswitch_guard_callbacks_total > 0")).length > 0
    && (await system.query("rate(offswitch_notices_total[1m])")).length > 0;
  assert.ok(await until(isSeen, 30), "Prometheus has the traffic");
}, { timeout: 600_000 });
after(() => system?.close());

test("every query of the dashboard has an answer", async () => {
  assert.ok(targets.length > 40, "the queries are found");
  for (const { title, expr } of targets) {
    const result = await system.query(withoutVariables(expr));
    const isIdle = metricsIn(expr).every((name) => UNDER_LOAD.includes(name));
    assert.equal(result.length > 0, !isIdle, `${title}: ${expr}`);
  }
});

test("the dashboard shows every metric of the reference, but for those that findings or other metrics show", () => {
  const shown = targets.flatMap(({ expr }) => metricsIn(expr));
  assert.deepEqual(Object.keys(documented()).filter((name) => !shown.includes(name)), NOT_SHOWN);
});

test("every alert rule is evaluated, its metrics exist, and only those that have a reason are active", async () => {
  const { groups } = await system.ask("rules");
  const rules = groups.flatMap(({ rules }) => rules);
  assert.deepEqual(rules.map(({ name }) => name).sort(), alerts.map(({ alert }) => alert).sort());
  for (const { name, health, lastError } of rules) assert.equal(health, "ok", `${name}: ${lastError}`);
  for (const { alert, expr } of alerts) {
    for (const metric of metricsIn(expr).filter((name) => !UNDER_LOAD.includes(name))) {
      const series = await system.query(`{__name__=~"${metric}(_bucket)?"}`);
      assert.ok(series.length > 0, `${alert}: ${metric}`);
    }
  }
  const active = rules.filter(({ state }) => state !== "inactive").map(({ name }) => name);
  // Redis may evict keys; the transmitter of one stream is not one.
  assert.deepEqual(active.sort(), ["OffswitchEventStreamDisabled", "OffswitchStoreFinding"]);
});

test("the reference lists every metric of the two processes with its kind, and no other", async () => {
  const metadata = await system.ask("targets/metadata");
  const seen = Object.fromEntries(metadata.filter(({ metric }) => metric.startsWith("offswitch_")).map(({ metric, type }) => [metric, type]));
  const expected = Object.entries(documented()).filter(([name]) => !UNDER_LOAD.includes(name));
  assert.deepEqual(Object.entries(seen).sort(), expected.sort());
  for (const { metric, help } of metadata.filter(({ metric }) => metric.startsWith("offswitch_"))) {
    assert.ok(help.length > 10, `${metric} has a help text`);
  }
});

test("promtool has nothing against the names and units of the metrics", async () => {
  const headers = { authorization: `Bearer ${system.plane.apiKey}` };
  for (const address of [`${system.plane.url}/metrics`, `http://127.0.0.1:${system.admin}/metrics`]) {
    const input = await (await fetch(address, { headers })).text();
    execFileSync(installed("promtool", "prometheus"), ["check", "metrics"], { input, stdio: ["pipe", "pipe", "pipe"] });
  }
});

// Last, since it ends the store and the control plane.
test("a store that ends and a process that ends are seen", async () => {
  await system.redis.kill();
  const notReady = async () => (await system.query('offswitch_ready{job="offswitch"} == 0 and offswitch_log_age_seconds > 2')).length === 1;
  assert.ok(await until(notReady, 30));
  await system.plane.kill();
  assert.ok(await until(async () => (await system.query('up{job="offswitch"} == 0')).length === 1, 30));
  assert.ok(await until(async () => (await system.query('offswitch_client_feed_age_seconds > 3')).length === 1, 30));
});

/** The metrics of the reference, each with its kind. */
function documented() {
  const rows = readText("docs/reference/metrics.md").matchAll(/^\| `(offswitch_\w+)` \| (\w+) \|/gm);
  return Object.fromEntries(Array.from(rows, ([, name, kind]) => [name, kind]));
}

/** A query as Grafana sends it: for all processes. */
function withoutVariables(expression) {
  return expression.replaceAll("$instance", ".*").replaceAll("$__rate_interval", "1m");
}

const NOT_SHOWN = [
  "offswitch_audit_left_out_total", "offswitch_audit_lost_total", "offswitch_audit_refused_total",
  "offswitch_base_issued_at_seconds", "offswitch_documents_altered_total", "offswitch_followers_ahead_total",
  "offswitch_key_rotations_total", "offswitch_processes",
  "offswitch_publication_removed_total", "offswitch_publication_seq", "offswitch_publications_total",
  "offswitch_requests_limit", "offswitch_spans_total", "offswitch_streams_reset_total",
];
