// The pages of docs/reference list what the sources define: settings with their defaults, codes,
// metrics and routes, in both directions.

import assert from "node:assert/strict";
import { test } from "node:test";
import { filesIn, readText } from "./files.mjs";

const paths = filesIn(["client", "control-plane", "guard", "server", "verifier-wasm"], /\.rs$/).filter((path) => path.includes("/src/"));
const rust = paths.map(readCode);
const script = filesIn(["verifier-wasm/js"], /\.js$/).map(readText);
const pathOf = (end) => paths.find((path) => path.endsWith(end)) ?? assert.fail(`${end} is not found`);

test("configuration.md has every key of the control plane with its default, and no other", () => {
  assert.deepEqual(settingsOf("configuration.md"), keysIn("control-plane/src/config/keys.rs"));
});

test("guard.md has every key of the guard with its default, and no other", () => {
  assert.deepEqual(settingsOf("guard.md"), keysIn("guard/src/config/keys.rs"));
});

test("guard.md has every member of the guard's tables, and no other", () => {
  const source = readText("guard/src/config/tables.rs");
  for (const [table, type] of [["issuers", "IssuerTable"], ["routes", "RouteTable"], ["headers", "HeaderTable"]]) {
    const [, body] = new RegExp(`struct ${type} \\{(.*?)\n\\}`, "s").exec(source);
    const rows = all(readText("docs/reference/guard.md"), new RegExp(`^\\| \`${table}\\.([a-z_]+)\` \\|`, "gm"));
    assert.deepEqual(sorted(rows.flat()), sorted(all(body, /^ {4}([a-z_]+):/gm).flat()), table);
  }
});

test("guard.md has every member of the guard's further feeds, and no other", () => {
  const source = readText("guard/src/config/feeds/mod.rs");
  const others = all(/const OF_FEED: .*? = \[(.*?)\];/s.exec(source)[1], /"([a-z_]+)"/g).flat();
  const keys = keysIn("guard/src/config/keys.rs").map((key) => key.split(" = ")[0]);
  const ofFeed = keys.filter((key) => (key.startsWith("feed_") && key !== "feed_api_key") || others.includes(key));
  const members = [...ofFeed.map((key) => key.replace(/^feed_/, "")), "issuers"];
  const rows = all(readText("docs/reference/guard.md"), /^\| `feeds\.([a-z_]+)` \|/gm).flat();
  assert.deepEqual(sorted(rows), sorted(members));
  const help = /\[\[feeds\]\](.*?)\[\[routes\]\]/s.exec(readText("guard/src/config/mod.rs"))[1];
  assert.deepEqual(members.filter((member) => !help.includes(member)), []);
});

test("configuration.md has every member of [[issuers]], and no other", () => {
  const [, body] = /pub struct Definition \{(.*?)\n\}/s.exec(readText(pathOf("/core/src/issuers/registration.rs")));
  const members = ["name", ...all(body, /^ {4}pub ([a-z_]+):/gm).flat()];
  const rows = all(readText("docs/reference/configuration.md"), /^\| `issuers\.([a-z_]+)` \|/gm).flat();
  assert.deepEqual(sorted(rows), sorted(members));
});

test("configuration.md has every variable of the edge worker, and no other", () => {
  const read = script.flatMap((text) => all(text, /\b(OFFSWITCH_[A-Z_]+)\b/g)).flat();
  const rows = rowsOf("configuration.md").map(([name]) => name).filter((name) => /^(?!OTEL_)[A-Z]/.test(name));
  assert.deepEqual(sorted(rows), sorted(new Set([...read, "UPSTREAM"])));
});

// O04: the library reads more variables than the sources name.
test("configuration.md has every variable of traces that the sources name", () => {
  const sources = readCode(pathOf("/telemetry/traces/wanted.rs"));
  const named = [...all(sources, /"(OTEL_[A-Z_]+)"/g).flat(), ...all(sources, /of_traces\("([A-Z]+)"\)/g).map(([end]) => `OTEL_EXPORTER_OTLP_${end}`)];
  const rows = rowsOf("configuration.md").map(([name]) => name);
  assert.ok(named.length > 6, "the variables are found");
  assert.deepEqual(named.filter((name) => !rows.includes(name)), []);
});

test("codes.md has every code of the sources, and no other", () => {
  const codes = new Set([
    ...rust.flatMap((text) => MAKE_CODES.flatMap((pattern) => all(text, pattern).flat())),
    ...rust.flatMap((text) => all(text, /fn code\(&?self\) -> &'static str \{(.*?)\n    \}/gs))
      .flatMap(([body]) => all(body, /"([a-z_]+)"/g).flat()),
    ...script.flatMap((text) => all(text, /\b(?:problem|answer)\(\d+, "([a-z_]+)"/g).flat()),
    ...script.flatMap((text) => all(text, /\b(?:code|error): "([a-z_]+)"/g).flat()),
    ...all(readText("verifier-wasm/js/index.d.ts"), /type (?:Refusal|Undecided)Code =([^;]*);/g)
      .flatMap(([type]) => all(type, /"([a-z_]+)"/g).flat()),
  ]);
  for (const known of ["unknown_session", "revoked_user", "no_keys", "store_evicts", "starting"]) {
    assert.ok(codes.has(known), `${known} is found`);
  }
  const text = readText("docs/reference/codes.md");
  const missing = Array.from(codes).filter((code) => !NOT_OF_THE_PAGE.includes(code) && !text.includes(`\`${code}\``));
  assert.deepEqual(missing, []);
  const sources = [...rust, ...script, readText("verifier-wasm/js/index.d.ts")].join("\n");
  const rows = rowsOf("codes.md").map(([code]) => code);
  assert.deepEqual(rows.filter((code) => !new RegExp(`"${code}\\b`).test(sources)), []);
});

test("metrics.md has every metric, and no other", () => {
  const sources = ["control-plane/src/telemetry/metrics.rs", "client/src/metrics.rs"].map(readCode);
  const metrics = all(sources.join("\n"), /"(offswitch_[a-z_]+)"/g).flat();
  assert.deepEqual(sorted(rowsOf("metrics.md").map(([name]) => name)), sorted(metrics));
});

test("api.md has every route", () => {
  const routes = rust
    .flatMap((text) => all(text, /"(\/(?:v1|oauth|\.well-known|healthz|readyz|metrics)[^"\s]*)"/g).flat());
  assert.ok(routes.length > 20, "the routes are found");
  const text = readText("docs/reference/api.md");
  const missing = routes.filter((route) => !text.includes(`${route.replace(/(?<=.)\/$/, "")}\``));
  assert.deepEqual(missing, []);
});

/** The keys of a table of settings, each with its default. */
function keysIn(path) {
  const source = readText(path);
  const named = Object.fromEntries(all(source, /const ([A-Z_]+): &str = "([a-z_]+)"/g));
  const keys = all(source, /name: (?:"([a-z_]+)"|([A-Z_]+)),\s*default: "([^"]*)"/g)
    .map(([text, constant, value]) => [text ?? named[constant], value || "none"]);
  assert.ok(keys.length > 20, "the keys are found");
  return sorted(keys);
}

/** The settings of a page, each with its default. */
function settingsOf(page) {
  const rows = rowsOf(page).filter(([name]) => /^[a-z]/.test(name));
  return sorted(rows.map(([name, value]) => [name, value.replaceAll("`", "")]));
}

/** The cells of a page's table rows that begin with a name. */
function rowsOf(page) {
  return all(readText(`docs/reference/${page}`), /^\| `([\w]+)` \| (.*?) \|/gm);
}

/** The groups of every match. */
function all(text, pattern) {
  return Array.from(text.matchAll(pattern), ([, ...groups]) => groups);
}

function sorted(values) {
  return Array.from(values, (value) => [value].flat().join(" = ")).sort();
}

/** Rust without its comments and its tests. */
function readCode(path) {
  return readText(path).split("#[cfg(test)]\nmod tests")[0].replace(/^\s*\/\/.*$/gm, "");
}

/** The Rust code that defines a code. */
const MAKE_CODES = [
  /\b(?:Problem::new|Self::new)\(\s*[\w:]+,\s*"([a-z_]+)"/g,
  /\b(?:bad_request|of_field|without_effect|unauthorized|forbidden|unavailable|invalid_grant|invalid_request|found)\(\s*"([a-z_]+)"/g,
  /\bneed\("[a-z_]+", "([a-z_]+)"\)/g,
  /\bCODE: &str = "([a-z_]+)"/g,
  /\bFinding \{\s*code: "([a-z_]+)"/g,
];
/** Matches that are not codes of that page: outcomes of a snapshot, and of a command. */
const NOT_OF_THE_PAGE = ["extended", "ignored", "refreshed", "replaced", "invalid_key"];
