// Links between the documents resolve: the file exists, and so does the heading that an anchor names.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/fixture.mjs";
import { anchorsIn, filesIn, readText } from "./files.mjs";

const isDocument = /\.md$/;
const pages = filesIn(["."], isDocument);

test("every relative link of a document leads to a file and to a heading of it", () => {
  const broken = pages.flatMap((page) =>
    linksOf(page).filter(({ path, anchor }) => !isThere(path, anchor)).map(({ link }) => `${page}: ${link}`));
  assert.deepEqual(broken, []);
});

test("docs/README.md leads to every document in docs", () => {
  const linked = linksOf("docs/README.md").map(({ path }) => path);
  const unlinked = filesIn(["docs"], isDocument).filter((page) => page !== "docs/README.md" && !linked.includes(page));
  assert.deepEqual(unlinked, []);
});

test("every document that a source names exists", () => {
  const sources = filesIn(["control-plane", "guard", "server", "simulation", "tests", "verifier-wasm", "www", "xtask"], /\.(rs|js|mjs|ts|tsx)$/);
  const missing = sources.flatMap((path) =>
    Array.from(readText(path).matchAll(/\bdocs\/[\w/-]+\.md\b/g), ([document]) => document)
      .filter((document) => !existsSync(join(ROOT, document))).map((document) => `${path}: ${document}`));
  assert.deepEqual(missing, []);
});

/** The targets of a document's links, as paths from the root of the repository. */
function linksOf(page) {
  const text = readText(page).replace(/^```.*?^```/gms, "").replace(/`[^`\n]*`/g, "");
  return Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link)
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => {
      const [path, anchor] = link.split("#");
      return { link, anchor, path: path === "" ? page : normalize(join(dirname(page), path)) };
    });
}

function isThere(path, anchor) {
  if (!existsSync(join(ROOT, path))) return false;
  if (anchor === undefined) return true;
  return anchorsIn(path).includes(anchor);
}
