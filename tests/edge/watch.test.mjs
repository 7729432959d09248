// The watch on a token while its answer is being sent. In real workerd: open-connections.test.mjs.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Watch } from "../../verifier-wasm/js/worker/watch.js";

// E04: a poll that ended with the answer would keep the isolate's lease, and no other request would
// follow the feed.
test("the watch on an answer follows the feed with the request's own waitUntil", async (context) => {
  context.mock.timers.enable({ apis: ["setTimeout"] });
  const handed = [];
  const verifier = { followLater: (given) => void handed.push(given), verifySync: () => ({ outcome: "valid" }) };
  const waitUntil = () => {};
  const watch = new Watch(verifier, "token", waitUntil);
  context.mock.timers.tick(1_000);
  context.mock.timers.tick(1_000);
  watch.stop();
  assert.deepEqual(handed, [waitUntil, waitUntil]);
});
