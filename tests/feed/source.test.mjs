// What the package's own files must never do.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { ROOT } from "../support/fixture.mjs";

const read = (folder) =>
  readdirSync(ROOT + folder)
    .filter((name) => name.endsWith(".js"))
    .map((name) => [name, readFileSync(`${ROOT}${folder}/${name}`, "utf8")]);

// E12: no code from strings; all that is logged is what is wrong with the settings or the way to
// the control plane.
test("the package evaluates no text and logs no token", () => {
  for (const [name, text] of [...read("verifier-wasm/js"), ...read("verifier-wasm/pkg")]) {
    assert.doesNotMatch(text, /\beval\(|new Function\(|setTimeout\(["'`]/, name);
  }
  const logs = read("verifier-wasm/js").flatMap(([, text]) => text.match(/console\..*/g) ?? []);
  assert.equal(logs.length, 2);
  assert.match(logs[0], /^console\.error\(`handover: \$\{answer\.unreachable\}`\)/);
  assert.match(logs[1], /^console\.error\(`misconfigured: /);
});

// A12: the wasm file names no path of the machine that built it.
test("the wasm file carries no machine's path", () => {
  const wasm = readFileSync(`${ROOT}verifier-wasm/pkg/offswitch_bg.wasm`, "latin1");
  for (const path of [ROOT, process.env.HOME, "/home/", "/Users/", "index.crates.io"]) {
    assert.ok(!wasm.includes(path), path);
  }
});
