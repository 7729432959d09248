// The size of the package's own JavaScript in transfer: bundled, minified, gzipped.

import { relative } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** The most bytes that each variant may load before the first verdict. Where timers outlive a request there
 * is the loop that follows the feed, and Deno has two hosts and the way to the inlined wasm. */
export const MAX_JS_BYTES = {
  workerd: 14_860, "edge-light": 14_890, deno: 15_880, bun: 15_640, browser: 15_560, node: 15_640,
};
/** Of the files that are loaded later: the reader of streams, and that of heads and feed files. */
export const MAX_LATER_BYTES = 5_780;

/**
 * The files of a program for `condition` that has `createVerifier` and nothing else: those that are loaded at
 * its start, and those that are loaded later.
 *
 * @param {string} condition @param {string} folder in which the package is found
 */
export async function bundled(condition, folder) {
  const { metafile: { outputs }, outputFiles } = await build({
    stdin: { contents: 'export { createVerifier } from "offswitch";', resolveDir: folder },
    absWorkingDir: folder,
    bundle: true,
    conditions: [condition],
    // The wasm inside the JavaScript is imported only if the file is missing.
    external: ["node:*", "*.wasm", "*.wasm?module", "./inline-module.js"],
    format: "esm",
    logLevel: "error",
    metafile: true,
    minify: true,
    outdir: "out",
    platform: "neutral",
    splitting: true,
    write: false,
  });
  const atStart = loadedAtStart(outputs);
  const isAtStart = ({ path }) => atStart.has(relative(folder, path));
  return { start: outputFiles.filter(isAtStart), later: outputFiles.filter((file) => !isAtStart(file)) };
}

/** @param {Uint8Array} bytes */
export const zipped = (bytes) => gzipSync(bytes, { level: 9 }).byteLength;

/** The size of several files. */
export const sizeOf = (files) => files.reduce((sum, { contents }) => sum + zipped(contents), 0);

/** The files of a bundle that its entry imports statically. */
function loadedAtStart(outputs) {
  const found = new Set(Object.keys(outputs).filter((path) => outputs[path].exports.includes("createVerifier")));
  for (const path of found) {
    for (const { kind, path: next } of outputs[path].imports) {
      if (kind === "import-statement" && next in outputs) found.add(next);
    }
  }
  return found;
}
