// Helm's own engine renders the chart, and what comes out is valid by the schemas of Kubernetes and of the Prometheus
// operator, and hardened. O02.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";
import { readText } from "../documents/files.mjs";
import { buildBinary } from "../support/control-plane.mjs";
import { ROOT } from "../support/fixture.mjs";
import { unknownVariables } from "./settings.mjs";
import { validator } from "./validators.mjs";

const LEAST = { masterKey: { existingSecret: "master-key" }, controlPlane: { issuer: "https://auth.example" } };
const GUARD = { enabled: true, config: 'gateway = "envoy"\n', feedPublicKeys: ["HCIu"], feedKey: { existingSecret: "feed-key" } };
const FULL = {
  ...LEAST,
  controlPlane: { ...LEAST.controlPlane, replicas: 3, config: 'log_format = "json"\n', env: { OFFSWITCH_LOG: "debug" } },
  imagePullSecrets: [{ name: "registry" }],
  store: { existingSecret: "redis", key: "url" },
  guard: { ...GUARD, appProtocol: "kubernetes.io/h2c", tolerations: [{ key: "edge", operator: "Exists" }] },
  networkPolicy: { metricsFrom: [{ namespaceSelector: { matchLabels: { name: "monitoring" } } }] },
  serviceMonitor: { enabled: true, existingSecret: "metrics-key", labels: { release: "prometheus" } },
};
const REFUSED = {
  "several processes on the embedded store": { ...LEAST, controlPlane: { ...LEAST.controlPlane, replicas: 2 } },
  "no master key": { controlPlane: LEAST.controlPlane },
  "no issuer": { masterKey: LEAST.masterKey },
  "a value that is not known": { ...LEAST, gaurd: {} },
  "a guard without the feed's keys": { ...LEAST, guard: { ...GUARD, feedPublicKeys: [] } },
  "a ServiceMonitor without a key": { ...LEAST, serviceMonitor: { enabled: true } },
};

let charts;
before(() => {
  const program = fileURLToPath(new URL("chart.py", import.meta.url));
  const input = JSON.stringify({ LEAST, FULL, ...REFUSED });
  const { status, stdout, stderr } = spawnSync(validator(), [program, join(ROOT, "deploy/helm/offswitch")], { input, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  charts = JSON.parse(stdout);
}, { timeout: 600_000 });

const documentsOf = (name) => charts.rendered[name].documents?.map(({ document }) => document) ?? assert.fail(charts.rendered[name].error);
const podsOf = (name) => documentsOf(name).filter(({ kind }) => ["Deployment", "StatefulSet"].includes(kind));
const find = (name, kind, called) =>
  documentsOf(name).find((one) => one.kind === kind && one.metadata.name === called) ?? assert.fail(`no ${kind} ${called}`);

test("the chart has no finding of helm lint", () => {
  assert.deepEqual(charts.lint.errors ?? [], []);
});

test("every object is valid by its schema", () => {
  for (const name of ["LEAST", "FULL"]) {
    for (const { document, problem } of charts.rendered[name].documents) {
      if (document.kind === "ServiceMonitor") new ServiceMonitor(document).validate();
      else assert.equal(problem, null, `${name}: ${document.kind} ${document.metadata.name}: ${problem}`);
    }
  }
  assert.deepEqual(documentsOf("LEAST").map(({ kind }) => kind).sort(), [
    "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service", "ServiceAccount", "StatefulSet",
  ]);
  assert.equal(documentsOf("FULL").length, 14);
});

test("values that cannot work are refused when the chart is rendered", () => {
  for (const name of Object.keys(REFUSED)) assert.ok(charts.rendered[name].error, name);
  assert.match(charts.rendered["several processes on the embedded store"].error, /the embedded store is a file of one process/);
});

test("every process runs without root, privileges, a writable root and a token of the API server", () => {
  assert.equal(podsOf("FULL").length, 2);
  for (const { kind, spec: { template: { spec } } } of podsOf("FULL")) {
    assert.equal(spec.securityContext.runAsNonRoot, true, kind);
    assert.equal(spec.securityContext.seccompProfile.type, "RuntimeDefault", kind);
    assert.equal(spec.automountServiceAccountToken, false, kind);
    // The variables of a Service named `offswitch` would look like settings.
    assert.equal(spec.enableServiceLinks, false, kind);
    for (const one of spec.containers) {
      assert.deepEqual(one.securityContext, {
        allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] },
      }, kind);
      assert.ok(one.resources.limits.memory && one.resources.requests.cpu, kind);
      assert.deepEqual([one.livenessProbe, one.readinessProbe].map(({ httpGet }) => httpGet.path), ["/healthz", "/readyz"]);
      assert.deepEqual(unknownVariables(one.env.map(({ name }) => name)), []);
      assert.ok(spec.terminationGracePeriodSeconds > one.lifecycle.preStop.sleep.seconds + 2, kind);
    }
  }
});

test("secrets are mounted as files for the group, and are in no ConfigMap and no value", () => {
  for (const { spec: { template: { spec } } } of podsOf("FULL")) {
    const secrets = spec.volumes.filter(({ secret }) => secret);
    for (const { secret } of secrets) assert.equal(secret.defaultMode, 0o440, secret.secretName);
    const [{ env, volumeMounts }] = spec.containers;
    assert.deepEqual(env.filter(({ valueFrom }) => valueFrom), []);
    const files = env.filter(({ name }) => /_(STORE|KEY)_FILE$/.test(name)).map(({ value }) => value);
    const mounts = secrets.map((volume) => volumeMounts.find(({ name }) => name === volume.name).mountPath);
    // Each file is in a mount of its own.
    assert.deepEqual(files.map((file) => file.slice(0, file.lastIndexOf("/"))), mounts);
  }
});

// The master key is made as the guide says, and mounted as Kubernetes does it.
test("the control plane would start with the variables and files of its pod", () => {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-pod-"));
  try {
    const here = (path) => path.replace(/^\/(etc|run\/secrets|var\/lib)\/offswitch/, folder);
    const [{ env, args }] = find("LEAST", "StatefulSet", "offswitch").spec.template.spec.containers;
    const variables = Object.fromEntries(env.map(({ name, value }) => [name, here(value)]));
    writeFileSync(variables.OFFSWITCH_CONFIG, find("LEAST", "ConfigMap", "offswitch").data["offswitch.toml"]);
    const [, makeKey] = /^(openssl rand .*) > master\.key$/m.exec(readText("docs/guides/deploying.md"));
    const key = spawnSync("sh", ["-c", `${makeKey} > "$0" && chmod 0440 "$0"`, variables.OFFSWITCH_MASTER_KEY_FILE]);
    assert.equal(key.status, 0, String(key.stderr));
    const checked = spawnSync(buildBinary("offswitch"), [...args, "--check"], { env: { ...variables, OFFSWITCH_LISTEN: "127.0.0.1:0" }, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    assert.doesNotMatch(checked.stderr, /WARN/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("each budget, each policy and each Service selects the pods of one component", () => {
  const labels = Object.fromEntries(podsOf("FULL").map(({ metadata, spec }) => [metadata.name, spec.template.metadata.labels]));
  const selected = (selector) => Object.keys(labels).filter((name) =>
    Object.entries(selector).every(([label, value]) => labels[name][label] === value));
  for (const name of ["offswitch", "offswitch-guard"]) {
    assert.deepEqual(selected(find("FULL", "PodDisruptionBudget", name).spec.selector.matchLabels), [name]);
    assert.deepEqual(selected(find("FULL", "NetworkPolicy", name).spec.podSelector.matchLabels), [name]);
    assert.deepEqual(selected(find("FULL", "Service", name).spec.selector), [name]);
    // A ServiceMonitor selects Services by their own labels, and not the one with the pods' names.
    const { matchLabels } = find("FULL", "ServiceMonitor", name).spec.selector;
    const services = documentsOf("FULL").filter(({ kind, metadata }) => kind === "Service"
      && Object.entries(matchLabels).every(([label, value]) => metadata.labels[label] === value));
    assert.deepEqual(services.map(({ metadata }) => metadata.name), [name]);
  }
});

test("only Prometheus reaches the guard's metrics, and guards reach the feed", () => {
  const [checks, admin, ...more] = find("FULL", "NetworkPolicy", "offswitch-guard").spec.ingress;
  assert.deepEqual([checks.ports[0].port, admin.ports[0].port, more], ["checks", "admin", []]);
  assert.deepEqual(admin.from, FULL.networkPolicy.metricsFrom);
  const [{ from }] = find("FULL", "NetworkPolicy", "offswitch").spec.ingress;
  assert.ok(from.some(({ podSelector }) => podSelector?.matchLabels?.["app.kubernetes.io/component"] === "guard"));
  const { env } = find("FULL", "Deployment", "offswitch-guard").spec.template.spec.containers[0];
  const { ports } = find("FULL", "Service", "offswitch").spec;
  assert.equal(env.find(({ name }) => name === "OFFSWITCH_GUARD_FEED_URLS").value, `http://offswitch:${ports[0].port}/v1/feed`);
});
