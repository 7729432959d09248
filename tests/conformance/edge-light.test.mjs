import { startEdgeRuntime } from "../support/edge-runtime.mjs";
import { expectConformance } from "./expect.mjs";

const edge = await startEdgeRuntime("tests/conformance/edge-light-entry.mjs");

expectConformance("Vercel's edge runtime", async (data) => {
  const request = { method: "POST", body: JSON.stringify(data) };
  const response = await edge.dispatchFetch("http://edge.test/", request);
  if (!response.ok) throw new Error(await response.text());
  return response.json();
});
