// What the package weighs as it travels, gzipped.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { ROOT } from "../support/fixture.mjs";

export const CONDITIONS = ["workerd", "edge-light", "deno", "bun", "browser", "node"];

/** @returns {Promise<{ wasm: number, js: Record<string, number> }>} bytes */
export async function measureSizes() {
  const js = {};
  for (const condition of CONDITIONS) js[condition] = await bundled(condition);
  return { wasm: zipped(readFileSync(`${ROOT}verifier-wasm/pkg/offswitch_bg.wasm`)), js };
}

/** The JavaScript that an app gets for `import { createVerifier } from "offswitch"`. */
async function bundled(condition) {
  const { outputFiles } = await build({
    stdin: { contents: 'export { createVerifier } from "offswitch";', resolveDir: `${ROOT}tests` },
    bundle: true, minify: true, write: false, format: "esm", platform: "neutral",
    conditions: [condition],
    external: ["*.wasm", "*.wasm?module", "node:*"], logLevel: "error",
  });
  return zipped(outputFiles[0].contents);
}

const zipped = (bytes) => gzipSync(bytes, { level: 9 }).byteLength;
