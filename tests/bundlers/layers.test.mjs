// The folders of the package: each may import from those below it and from itself, and no file
// imports itself through others.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { posix } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/fixture.mjs";

/** From the lowest to the highest. */
const ROOMS = [
  "presets", "options", "engine", "feed", "keys", "stores", "verifier", "feeds", "loaders", "middleware", "worker/handover",
  "worker", "testing",
];

const FOLDER = `${ROOT}verifier-wasm/js`;
const files = readdirSync(FOLDER, { recursive: true })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".js"));
/** The imports of each file from the others. Types in comments do not count. */
const imports = new Map(files.map((path) => {
  const code = readFileSync(`${FOLDER}/${path}`, "utf8").replace(/\/\*[^]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const found = [...code.matchAll(/(?:\bfrom|\bimport|\bimport\() ?"(\.[^"?]*)"/g)];
  const others = found.map(([, to]) => posix.join(posix.dirname(path), to));
  return [path, others.filter((to) => !to.startsWith("../"))];
}));

const roomOf = (path) => ROOMS.indexOf(path === "options.js" ? "options" : posix.dirname(path));

test("every file is in a listed folder", () => {
  assert.deepEqual(files.filter((path) => roomOf(path) < 0), []);
  assert.deepEqual([...imports.values()].flat().filter((to) => !files.includes(to)), []);
});

test("no folder imports from a folder above it", () => {
  const upwards = [...imports].flatMap(([path, others]) =>
    others.filter((to) => roomOf(to) > roomOf(path)).map((to) => `${path} imports ${to}`));
  assert.deepEqual(upwards, []);
});

test("no file imports itself through others", () => {
  const circles = [];
  const visit = (path, way) => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(" > "));
    else for (const next of imports.get(path)) visit(next, [...way, path]);
  };
  for (const path of files) visit(path, []);
  assert.deepEqual(circles, []);
});
