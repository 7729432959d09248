import assert from "node:assert/strict";
import { test } from "node:test";
import { fileOf } from "../gateways/guide.mjs";

// G02, G03: no mesh runs here, but Istio's proxies are Envoy. What the notes have it add is what runs in Envoy in tests/gateways.
test("the filters of the Istio notes are those of the Envoy guide", () => {
  const [istio, envoy] = [fileOf("istio", "envoyfilter.yaml", {}), fileOf("envoy", "envoy.yaml", {})];
  for (const [after, member] of [["HttpConnectionManager\n", "local_reply_config:"], ["envoy.filters.http.header_mutation\n", "typed_config:"]]) {
    const [ours, tested] = [istio, envoy].map((text) => memberOf(text.slice(text.indexOf(after)), member));
    assert.ok(tested.length > 3, member);
    assert.deepEqual(ours, tested, member);
  }
});

/** The first member of this name with all that is below it, without the indentation of the file. */
function memberOf(text, member) {
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.trimStart() === member);
  const depth = lines[begin].length - member.length;
  const isBelow = (line) => line.startsWith(" ".repeat(depth + 1));
  const end = lines.findIndex((line, at) => at > begin && !isBelow(line));
  return lines.slice(begin, end).map((line) => line.slice(depth));
}
