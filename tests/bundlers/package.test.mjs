// The tarball as npm would publish it: its contents, and the findings of other linters.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, readFileSync, readdirSync } from "node:fs";
import { join, posix, relative } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { ROOT } from "../support/fixture.mjs";
import { makeConsumer } from "./consumer.mjs";

const consumer = makeConsumer();
after(consumer.close);
const read = (path) => readFileSync(join(consumer.package, path), "utf8");
const manifest = JSON.parse(read("package.json"));
const packed = readdirSync(consumer.package, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => relative(consumer.package, join(entry.parentPath ?? entry.path, entry.name)))
  .sort();

/** Every file that a value of `exports` names, under any condition. */
const named = (value) =>
  typeof value === "string" ? [value] : Object.values(value).flatMap(named);

/** The files that a file imports, refers to in its types or fetches relative to itself. */
function referredTo(path) {
  if (path.endsWith(".wasm")) return [];
  const own = /(from|import|import\(|require\(|new URL\() ?["'](\.[^"'?]*)[?\w]*["']/g;
  return [...read(path).matchAll(own)].map(([, how, to]) => {
    // The CommonJS half reads the only wasm file.
    const from = how === "new URL(" ? path.replace(/^cjs\//, "") : path;
    return posix.join(posix.dirname(from), to);
  });
}

// A file that no entry point reaches is dead weight, or was not meant to be published.
test("the tarball contains the files that its entry points reach, and those that npm adds", () => {
  const reached = new Set(named(manifest.exports).map((path) => posix.normalize(path)));
  for (const path of reached) for (const next of referredTo(path)) reached.add(next);
  const added = ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "cjs/package.json"];
  assert.deepEqual(packed, [...reached, ...added].sort());
});

test("the tarball contains code, types, wasm and texts, and nothing else", () => {
  const shape = /^((cjs\/)?js\/([a-z]+\/)*[a-z0-9-]+(\.d\.ts|\.js)|cjs\/(package\.json|pkg\/offswitch\.js)|pkg\/offswitch(\.js|_bg\.wasm|_inline\.js)|[^/]+)$/;
  for (const path of packed) assert.match(path, shape);
  for (const path of packed.filter((path) => !path.endsWith(".wasm"))) {
    assert.ok(!read(path).includes(ROOT), `${path} names this machine`);
  }
});

test("the licences are the repository's", () => {
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    assert.equal(read(name), readFileSync(join(ROOT, name), "utf8"));
  }
});

test("the package has no dependencies and runs no script when it is installed", () => {
  assert.deepEqual([manifest.dependencies, manifest.scripts], [undefined, undefined]);
  assert.ok(Object.values(manifest.peerDependenciesMeta).every(({ optional }) => optional));
});

// D35: bundler plugins and version checks read it.
test("the package's own package.json can be resolved", () => {
  assert.equal(consumer.resolve("offswitch/package.json"), join(consumer.package, "package.json"));
});

test("every entry point is in the README", () => {
  for (const entry of Object.keys(manifest.exports)) {
    if (entry === "./package.json") continue;
    assert.ok(read("README.md").includes(posix.join("offswitch", entry)), entry);
  }
});

/** Runs a program that npm has installed for the tests; fails if the program fails. */
async function run(program, ...args) {
  const path = join(ROOT, "node_modules/.bin", program);
  try {
    const { stdout } = await promisify(execFile)(path, args, { cwd: consumer.folder });
    return stdout;
  } catch ({ stdout, stderr }) {
    return assert.fail(`${program}: ${stdout}${stderr}`);
  }
}

test("publint reports nothing", async () => {
  assert.match(await run("publint", "run", consumer.tarball, "--strict"), /All good!/);
});

test("Are The Types Wrong accepts the types of every entry point", async () => {
  await run("attw", consumer.tarball, "--profile", "esm-only", "--no-definitely-typed");
});

// D35: with the CommonJS entries, and for compilers that do not support `exports`.
test("Are The Types Wrong accepts the types with every resolution", async () => {
  const onlyModules = ["inline", "wasm", "worker", "package.json"];
  await run("attw", consumer.tarball, "--exclude-entrypoints", ...onlyModules, "--no-definitely-typed");
});

// A project's own compiler checks the types, with both kinds of module resolution.
test("the published types allow what the repository's own do", async () => {
  cpSync(join(ROOT, "tests/declarations/usage.ts"), join(consumer.folder, "usage.ts"));
  const options = ["--noEmit", "--strict", "--target", "es2022", "--lib", "es2023,dom"];
  for (const how of ["--module nodenext", "--module esnext --moduleResolution bundler"]) {
    await run("tsc", ...options, ...how.split(" "), "--types", "", "usage.ts");
  }
});
