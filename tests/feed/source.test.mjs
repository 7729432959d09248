// Things that the package's own files must never do.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { ROOT } from "../support/fixture.mjs";

const read = (folder) =>
  readdirSync(ROOT + folder, { recursive: true })
    .filter((name) => name.endsWith(".js"))
    .map((name) => [name, readFileSync(`${ROOT}${folder}/${name}`, "utf8")]);

const own = read("verifier-wasm/js");

// E12: no code from strings, in any spelling.
test("the package evaluates no text", () => {
  for (const [name, text] of [...own, ...read("verifier-wasm/pkg")]) {
    // A Content-Security-Policy names it to allow WebAssembly and nothing else.
    const code = text.replaceAll("'wasm-unsafe-eval'", "");
    assert.doesNotMatch(code, /\beval\b|\bFunction\(|setTimeout\(["'`]|setInterval\(/, name);
    assert.doesNotMatch(text, /\bimport\((?!\s*["'])/, `${name} imports a computed name`);
  }
});

// E12: only mistakes in the settings and failures on the way to the control plane are logged, and only the
// worker and the feed's warnings log at all.
test("the package logs no token", () => {
  const logs = own.flatMap(([name, text]) =>
    [...text.matchAll(/\bconsole\b[^ \w].*/g)].map(([line]) => [name, line]));
  assert.deepEqual(logs.map(([name]) => name).sort(), ["verifier/warnings.js", "worker/handover/client.js", "worker/worker.js"]);
  const { "worker/handover/client.js": handover, "worker/worker.js": worker } = Object.fromEntries(logs);
  const { "verifier/warnings.js": warnings } = Object.fromEntries(logs);
  assert.match(warnings, /^console\.warn\(text\)/);
  assert.match(handover, /^console\.error\(`handover: \$\{answer\.unreachable\}`\)/);
  assert.match(worker, /^console\.error\(`misconfigured: \$\{problems\.join/);
  for (const [name, text] of own) assert.doesNotMatch(text, /process\.std(out|err)|debugger/, name);
});

// E05: a Worker's modules are executed once, long before any request.
test("no module uses a clock or random numbers while it is loaded", () => {
  const reads = /^(export )?(const|let|var) [^=]*= [^(]*(Date|Math\.random|performance)\b/m;
  for (const [name, text] of own) assert.doesNotMatch(text, reads, name);
});

// A12: the wasm file names no path of the machine that built it.
test("the wasm file contains no path of a machine", () => {
  const wasm = readFileSync(`${ROOT}verifier-wasm/pkg/offswitch_bg.wasm`, "latin1");
  for (const path of [ROOT, process.env.HOME, "/home/", "/Users/", "index.crates.io"]) {
    assert.ok(!wasm.includes(path), path);
  }
});
