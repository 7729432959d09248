// What an app pays to judge tokens, as it travels: the package's own JavaScript in each runtime's
// variant, and the wasm file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { makeConsumer } from "./consumer.mjs";

// A snapshot that is hashed while it arrives takes 4 KB of it: see xtask/src/wasm.rs.
const MAX_WASM_BYTES = 130_000;
/** Deno, which reads it from disk, needs the last 200 bytes for the way to the inlined wasm. Security took
 * the room beyond 10 KiB: the search for unknown keys that no cut-off request can block, claims whose
 * integers are not altered, snapshots that are checked while they arrive, streams that are noticed to be
 * late, and freshness that no proxy and no clock can stretch. */
const MAX_JS_BYTES = 15_500;

const consumer = makeConsumer();
after(consumer.close);
const zipped = (bytes) => gzipSync(bytes, { level: 9 }).byteLength;

test("the wasm file is small enough for an edge worker's first request", (context) => {
  const bytes = readFileSync(consumer.resolve("offswitch/wasm"));
  context.diagnostic(`wasm: ${bytes.byteLength} bytes, ${zipped(bytes)} gzipped`);
  assert.ok(zipped(bytes) <= MAX_WASM_BYTES, `${zipped(bytes)} bytes gzipped`);
});

for (const condition of ["workerd", "edge-light", "deno", "bun", "browser", "node"]) {
  test(`the JavaScript that an app gets for ${condition} is small`, async (context) => {
    const { outputFiles: [{ contents, text }] } = await build({
      stdin: {
        contents: 'export { createVerifier } from "offswitch";',
        resolveDir: consumer.folder,
      },
      bundle: true,
      conditions: [condition],
      // The wasm inside the JavaScript is imported where the file is lost, and only then.
      external: ["node:*", "*.wasm", "*.wasm?module", "./inline-module.js"],
      format: "esm",
      logLevel: "error",
      minify: true,
      platform: "neutral",
      write: false,
    });
    const size = zipped(contents);
    context.diagnostic(`${condition}: ${contents.byteLength} bytes, ${size} gzipped`);
    assert.ok(size <= MAX_JS_BYTES, `${size} bytes gzipped`);
    assert.doesNotMatch(text, /from ?"\.\/inline/, "the inlined wasm is loaded at the start");
  });
}
