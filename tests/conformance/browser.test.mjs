import { after } from "node:test";
import { startPage } from "../support/browser.mjs";
import { expectConformance } from "./expect.mjs";

const browser = await startPage();
after(browser.close);

expectConformance("Chromium", (data) =>
  browser.page.evaluate(async (given) => {
    const offswitch = await import("/verifier-wasm/js/loaders/browser.js");
    const { runSuite } = await import("/tests/conformance/suite.mjs");
    await offswitch.load();
    return runSuite(offswitch, JSON.parse(given));
  }, JSON.stringify(data)));

expectConformance("a worker of Chromium", (data) =>
  browser.page.evaluate((given) => new Promise((done, failed) => {
    const worker = new Worker("/tests/conformance/browser-worker.mjs", { type: "module" });
    worker.onmessage = ({ data: { found, error } }) =>
      found ? done(found) : failed(new Error(error));
    worker.onerror = (event) => failed(new Error(event.message));
    worker.postMessage(given);
  }), JSON.stringify(data)));
