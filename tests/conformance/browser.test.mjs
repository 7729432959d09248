import { after } from "node:test";
import { startPage } from "../support/browser.mjs";
import { expectConformance } from "./expect.mjs";

const browser = await startPage();
after(browser.close);

expectConformance("Chromium", (data) =>
  browser.page.evaluate(async (given) => {
    const offswitch = await import("/verifier-wasm/js/load-browser.js");
    const { runSuite } = await import("/tests/conformance/suite.mjs");
    await offswitch.load();
    return runSuite(offswitch, given);
  }, data));
