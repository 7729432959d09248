// The download size of an app that judges tokens: the package's own JavaScript in each runtime's
// variant, and the wasm file.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { MAX_JS_BYTES, MAX_LATER_BYTES, bundled, sizeOf, zipped } from "../support/bundle.mjs";
import { makeConsumer } from "./consumer.mjs";

// A snapshot that is hashed while it arrives takes 4 KB of it: see xtask/src/wasm.rs.
const MAX_WASM_BYTES = 130 * 1024;

const consumer = makeConsumer();
after(consumer.close);

test("the wasm file is small enough for an edge worker's first request", (context) => {
  const bytes = readFileSync(consumer.resolve("offswitch/wasm"));
  context.diagnostic(`wasm: ${bytes.byteLength} bytes, ${zipped(bytes)} gzipped`);
  assert.ok(zipped(bytes) <= MAX_WASM_BYTES, `${zipped(bytes)} bytes gzipped`);
});

for (const [condition, most] of Object.entries(MAX_JS_BYTES)) {
  test(`the JavaScript that an app gets for ${condition} is small`, async (context) => {
    const { start, later } = await bundled(condition, consumer.folder);
    const [size, more] = [sizeOf(start), sizeOf(later)];
    context.diagnostic(`${condition}: ${size} bytes gzipped, ${more} later`);
    assert.ok(start.length > 0 && size <= most, `${size} bytes gzipped`);
    assert.ok(more <= MAX_LATER_BYTES, `${more} bytes gzipped that are loaded later`);
    for (const { text } of start) {
      assert.doesNotMatch(text, /from ?"\.\/inline/, "the inlined wasm is loaded at the start");
    }
  });
}
