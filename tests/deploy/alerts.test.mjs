// promtool runs the alert rules: each fires in its situation, alone, and not a little below it. O03.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { anchorsIn, readText } from "../documents/files.mjs";
import { installed } from "../gateways/processes.mjs";
import { ROOT } from "../support/fixture.mjs";
import { ALERTS_FILE, alerts, metricsIn } from "./alerts.mjs";
import { HEALTHY, SITUATIONS } from "./situations.mjs";

test("every rule fires in its situation and no other rule does, and none fires a little below it", () => {
  assert.deepEqual(SITUATIONS.map(({ alert }) => alert), alerts.map(({ alert }) => alert), "one situation for each rule");
  const alone = SITUATIONS.filter(({ alert }) => alert === "OffswitchNotScraped");
  const others = SITUATIONS.filter((one) => !alone.includes(one));
  promtool([
    installation("nothing is scraped", alone.map(({ fires }) => fires), alone.map((one) => labelsOf(one))),
    installation("rules fire", others.map(fires), others.map((one) => labelsOf(one, nameOf(one)))),
    installation("rules do not fire", [...others.map(calm), ...alone.map(({ calm }) => calm)], []),
  ]);
});

// What an operator reads when one fires.
test("every rule says what it found, what to do, and which guide explains it", () => {
  for (const { alert, annotations, labels } of alerts) {
    assert.match(annotations.summary, /(\.|\}\})\.?$/, alert);
    assert.match(annotations.description, /\.$/, alert);
    assert.ok(["critical", "warning"].includes(labels.severity), alert);
    const [page, anchor] = annotations.guide.split("#");
    assert.ok(existsSync(join(ROOT, page)), `${alert}: ${page}`);
    assert.ok(anchor === undefined || anchorsIn(page).includes(anchor), `${alert}: ${annotations.guide}`);
  }
});

test("the rules name only metrics and codes that the reference has", () => {
  const [metrics, codes] = ["metrics", "codes"].map((page) => readText(`docs/reference/${page}.md`));
  for (const { alert, expr } of alerts) {
    for (const name of metricsIn(expr).filter((name) => name !== "up")) {
      assert.ok(metrics.includes(`| \`${name}\` |`), `${alert}: ${name}`);
    }
    for (const [, listed] of expr.matchAll(/code[!=~]+"([^"]*)"/g)) {
      for (const code of listed.split("|")) assert.ok(codes.includes(`| \`${code}\``), `${alert}: ${code}`);
    }
  }
});

test("OffswitchGuardUndecided counts every undecided verdict", () => {
  const [, table] = readText("docs/reference/codes.md").split("### Undecided (503)\n");
  const codes = Array.from(table.split("\n#")[0].matchAll(/^\| `(\w+)` \|/gm), ([, code]) => code);
  assert.ok(codes.length > 5, "the codes are found");
  const { expr } = alerts.find(({ alert }) => alert === "OffswitchGuardUndecided");
  const [, counted] = /code=~"([^"]*)"/.exec(expr);
  assert.deepEqual(codes.filter((code) => !counted.split("|").includes(code)), []);
});

/** One test of promtool: several systems, each healthy but for some series, and what fires at the end. */
function installation(name, systems, firing) {
  const series = Object.assign({}, ...systems);
  const samples = firing.map((labels) => ({ labels: `ALERTS${braces({ ...labels, alertstate: "firing" })}`, value: 1 }));
  return {
    name, interval: "15s",
    input_series: Object.entries(series).map(([selector, values]) => ({ series: selector, values })),
    promql_expr_test: [{ expr: 'ALERTS{alertstate="firing"}', eval_time: "40m", exp_samples: samples }],
  };
}

const nameOf = ({ alert }) => alert.slice("Offswitch".length);
const fires = (one) => systemOf(nameOf(one), one.fires);
const calm = (one) => systemOf(nameOf(one), one.calm);

/** A system whose processes, issuer and relying party have the name, so that many fit into one test. */
function systemOf(name, changed) {
  const named = (selector) => selector.replace(/="(cp|cp-2|guard|idp|shop)"/g, `="$1 ${name}"`);
  const series = Object.entries({ ...HEALTHY, ...changed });
  return Object.fromEntries(series.map(([selector, values]) => [named(selector), values]));
}

function labelsOf({ alert, labels }, name) {
  const { severity } = alerts.find((rule) => rule.alert === alert).labels;
  const named = Object.entries(labels).map(([label, value]) =>
    [label, name && ["instance", "issuer", "relying_party"].includes(label) ? `${value} ${name}` : value]);
  return { alertname: alert, severity, ...Object.fromEntries(named) };
}

function braces(labels) {
  return `{${Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(",")}}`;
}

/** Runs tests of promtool; throws with what it prints if one fails. */
function promtool(tests) {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-alerts-"));
  try {
    const file = join(folder, "tests.json");
    writeFileSync(file, JSON.stringify({ rule_files: [ALERTS_FILE], evaluation_interval: "15s", tests }));
    execFileSync(installed("promtool", "prometheus"), ["test", "rules", file], { encoding: "utf8", stdio: "pipe" });
  } catch (error) {
    assert.fail(`${error.stdout}${error.stderr}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
