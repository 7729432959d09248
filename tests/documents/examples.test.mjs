// tests/apps runs the examples with the versions that the examples require.

import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { APPS } from "../apps/table.mjs";
import { ROOT } from "../support/fixture.mjs";
import { filesIn, readText } from "./files.mjs";

const entries = readdirSync(join(ROOT, "examples"), { withFileTypes: true });
const examples = entries.filter((entry) => entry.isDirectory()).map(({ name }) => `examples/${name}`);

test("each example is listed in examples/README.md and run by tests/apps", () => {
  assert.ok(examples.length >= 6, "the examples are found");
  const list = readText("examples/README.md");
  const folders = Object.values(APPS).flatMap(({ folder }) => folder);
  for (const example of examples) {
    assert.ok(list.includes(`](${example.slice("examples/".length)}/README.md)`), `${example} is listed`);
    assert.ok(folders.includes(`../../${example}`), `${example} is run`);
  }
});

test("each example pins the versions of npm packages that tests/apps runs it with", () => {
  const { devDependencies: installed } = JSON.parse(readText("tests/apps/package.json"));
  for (const path of filesIn(["examples"], /^package\.json$/)) {
    const { dependencies, devDependencies } = JSON.parse(readText(path));
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      const expected = name === "offswitch" ? "file:../../verifier-wasm" : installed[name];
      assert.equal(version, expected, `${path}: ${name}`);
    }
  }
});

test("the Rust example names the versions of crates that the workspace names", () => {
  const workspace = versionsIn("Cargo.toml", "workspace.dependencies");
  const own = versionsIn("examples/rust-service/Cargo.toml", "dependencies");
  assert.ok(own.length > 3, "the dependencies are found");
  assert.deepEqual(own.filter((line) => !workspace.includes(line)), []);
});

/** The lines of a table of dependencies, as `name = version`. */
function versionsIn(path, table) {
  const [, lines] = readText(path).split(`[${table}]\n`);
  const found = lines.split("\n[")[0].matchAll(/^([\w-]+) = (?:\{ version = )?"([^"]+)"/gm);
  return Array.from(found, ([, name, version]) => `${name} = ${version}`);
}
