// Finds and reads the repository's own files.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../support/fixture.mjs";

/** Folders of installed or built files. */
const NOT_OURS = /^(node_modules|target|pkg|cjs|dist|\..*)$/;

/** The matching paths under `folders`, relative to the root of the repository. */
export function filesIn(folders, pattern) {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return NOT_OURS.test(entry.name) ? [] : filesIn([path], pattern);
      return pattern.test(entry.name) ? [path] : [];
    }),
  );
}

/** The anchors of a document's headings, as GitHub makes them. @param {string} path from the root of the repository */
export function anchorsIn(path) {
  const slug = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").trim().replaceAll(" ", "-");
  return Array.from(readText(path).matchAll(/^#+ (.*)$/gm), ([, heading]) => slug(heading));
}

/** @param {string} path from the root of the repository */
export function readText(path) {
  return readFileSync(join(ROOT, path), "utf8");
}
