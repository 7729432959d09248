// The page in real Chromium, at the address of a real control plane that serves it.
//
// Every test also fails on a violation of the policy, on an uncaught error, on an error in the console and on a
// request to an origin that it did not list.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { chromium } from "playwright-core";
import { startControlPlane } from "../support/control-plane.mjs";
import { until } from "../support/feed.mjs";
import { ROOT } from "../support/fixture.mjs";

/** A name of this machine that is no secure context, like a page loaded over plain HTTP. */
export const INSECURE_HOST = "plain.test";

/**
 * Starts one Chromium, and a control plane with these settings; both end with the file's tests.
 *
 * @param {Record<string, string>} [settings] additional environment variables
 */
export async function servePage(settings) {
  const plane = await startControlPlane(settings);
  after(() => plane.close());
  return { plane, pageTest: await openBrowser(plane.url) };
}

/**
 * Starts one Chromium. The returned function declares a test that gets a new page in a new context, which has
 * loaded `url`.
 *
 * @param {string} url
 */
export async function openBrowser(url) {
  buildPage();
  const browser = await chromium.launch({
    executablePath: execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      `--host-resolver-rules=MAP ${INSECURE_HOST} 127.0.0.1`],
  });
  after(() => browser.close());

  /**
   * @param {string} name
   * @param {(page: import("playwright-core").Page) => Promise<void>} run
   * @param {object} [options]
   * @param {string} [options.at] the address, if it is not the page's own; empty opens none
   * @param {object} [options.context] of Playwright's `newContext`
   * @param {RegExp[]} [options.expects] problems that are part of the test
   * @param {string[]} [options.origins] other origins that may get requests
   */
  return (name, run, { at = `${url}/`, context: settings, expects = [], origins = [] } = {}) =>
    test(name, async () => {
      // Every context would have its own cache of the page; caching has its own tests.
      const context = await browser.newContext({ serviceWorkers: "block", ...settings });
      context.setDefaultTimeout(PATIENCE_SECONDS * 1000);
      const found = await watch(context, [at, url, ...origins]);
      try {
        const page = await context.newPage();
        if (at !== "") await page.goto(at);
        await run(page);
        await settle(page);
      } finally {
        await context.close();
      }
      const problems = found.filter((one) => !expects.some((pattern) => pattern.test(one)));
      assert.deepEqual(problems, [], "problems that the browser reported");
    });
}

/** Waits until the text of `locator` matches; fails with its last text. */
export async function says(locator, pattern, seconds = PATIENCE_SECONDS) {
  let text = "";
  const found = await until(async () => {
    text = (await locator.allInnerTexts()).join("\n");
    return pattern.test(text);
  }, seconds);
  assert.ok(found, `${pattern} is not in the text: ${text.slice(0, 2000)}`);
  return text;
}

/** The same for other values: waits until `read` returns `expected`. */
export async function becomes(read, expected, seconds = PATIENCE_SECONDS) {
  let last;
  const same = async () => {
    last = await read();
    try {
      assert.deepEqual(last, expected);
      return true;
    } catch {
      return false;
    }
  };
  if (!await until(same, seconds)) assert.deepEqual(last, expected);
}

/** Collects every problem that the browser reports, in all pages and frames of a context. */
async function watch(context, allowed) {
  const found = [];
  const origins = new Set(allowed.filter((one) => one !== "").map((one) => new URL(one).origin));
  await context.exposeBinding("tellViolation", (_, text) => void found.push(text));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", ({ blockedURI, effectiveDirective }) => {
      window.tellViolation(`policy violated: ${effectiveDirective} by ${blockedURI}`);
    });
  });
  context.on("console", (message) => {
    if (message.type() !== "error") return;
    found.push(`console: ${message.text()} (${message.location().url})`);
  });
  context.on("weberror", (error) => found.push(`uncaught: ${error.error().stack}`));
  context.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol === "blob:" || protocol === "data:") return;
    if (!origins.has(origin)) found.push(`asked another origin: ${request.url()}`);
  });
  return found;
}

/** Pending problems of the browser arrive before a call into the page returns. */
async function settle(page) {
  if (!page.isClosed()) await page.evaluate(() => new Promise(requestAnimationFrame));
}

/** Builds the page like `cargo xtask page`, if it is not built yet. */
export function buildPage() {
  const folder = join(ROOT, "www");
  if (existsSync(join(folder, "dist/index.html"))) return;
  const built = spawnSync("npx", ["vite", "build"], { cwd: folder });
  if (built.status !== 0) throw new Error(String(built.stderr));
}

/** The time limit for events that must happen, on a busy machine. */
const PATIENCE_SECONDS = 20;
