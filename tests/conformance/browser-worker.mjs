// The suite in a dedicated worker.

import * as offswitch from "../../verifier-wasm/js/loaders/browser.js";
import { runSuite } from "./suite.mjs";

addEventListener("message", async ({ data }) => {
  try {
    await offswitch.load();
    postMessage({ found: await runSuite(offswitch, JSON.parse(data)) });
  } catch (error) {
    postMessage({ error: String(error.stack) });
  }
});
