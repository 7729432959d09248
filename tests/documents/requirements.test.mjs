// The ids in the comments of the sources and the lines of docs/requirements.md name each other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { filesIn, readText } from "./files.mjs";

const SOURCES = /\.(rs|js|mjs|ts|tsx)$/;

const commented = new Map();
for (const path of filesIn(["client", "control-plane", "guard", "server", "simulation", "tests", "verifier-wasm", "www",
  "xtask"], SOURCES)) {
  for (const line of readText(path).split("\n")) {
    for (const id of idsOf(line)) commented.set(id, path);
  }
}
const lines = Array.from(readText("docs/requirements.md").matchAll(/^\| ([A-Z]\d+) \|/gm), ([, id]) => id);

test("every id in a comment has a line in docs/requirements.md", () => {
  const missing = Array.from(commented).filter(([id]) => !lines.includes(id));
  assert.deepEqual(missing, []);
});

test("every line of docs/requirements.md has an id that a comment names, and each id has one line", () => {
  assert.deepEqual(lines.filter((id) => !commented.has(id)), []);
  assert.deepEqual(lines.filter((id, at) => lines.indexOf(id) !== at), []);
});

/** The ids in the comment of a line of source, if it has one. */
function idsOf(line) {
  const [comment = ""] = /^\s*\*.*|\/[/*].*/.exec(line) ?? [];
  return comment.match(/\b(?:[AEFGILNOPRSTVX]\d{2}|D\d{2,3})\b/g) ?? [];
}
