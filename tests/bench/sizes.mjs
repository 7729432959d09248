// The size of the package in transfer, gzipped.

import { readFileSync } from "node:fs";
import { MAX_JS_BYTES, bundled, sizeOf, zipped } from "../support/bundle.mjs";
import { ROOT } from "../support/fixture.mjs";

/** @returns {Promise<{ wasm: number, js: Record<string, number> }>} bytes */
export async function measureSizes() {
  const js = {};
  for (const condition in MAX_JS_BYTES) js[condition] = sizeOf((await bundled(condition, `${ROOT}tests`)).start);
  return { wasm: zipped(readFileSync(`${ROOT}verifier-wasm/pkg/offswitch_bg.wasm`)), js };
}
