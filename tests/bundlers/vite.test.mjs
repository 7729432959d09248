// A Vite app without configuration: as it is built, and as it is developed.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, test } from "node:test";
import { build, createServer, preview } from "vite";
import { startPage } from "../support/browser.mjs";
import { makeConsumer } from "./consumer.mjs";
import { VERDICTS, prepare } from "./given.mjs";

const consumer = makeConsumer();
const { close, given } = await prepare();
const browser = await startPage(join(consumer.folder, "dist"));
after(async () => {
  await browser.close();
  await close();
  consumer.close();
});
const root = consumer.folder;
const logLevel = "error";
const server = { host: "127.0.0.1", port: 0 };

/** The verdicts of the app at `url`. */
async function runAt(url) {
  const page = await browser.page.context().newPage();
  try {
    const failures = [];
    page.on("pageerror", (error) => failures.push(error.message));
    await page.goto(url);
    const isThere = page.waitForFunction(() => "run" in window);
    await isThere.catch((error) => failures.push(error.message));
    assert.deepEqual(failures, []);
    return await page.evaluate((all) => window.run(all), given);
  } finally {
    await page.close();
  }
}

test("the output of vite build judges in Chromium", async () => {
  await build({ root, logLevel });
  assert.deepEqual(await runAt(`${browser.url}/index.html`), VERDICTS);
});

test("the output of vite build judges when vite preview serves it", async () => {
  const previewed = await preview({ root, logLevel, preview: server });
  try {
    assert.deepEqual(await runAt(previewed.resolvedUrls.local[0]), VERDICTS);
  } finally {
    await previewed.close();
  }
});

test("the app judges in Chromium when the development server of vite serves it", async () => {
  const developed = await createServer({ root, logLevel, server });
  await developed.listen();
  try {
    assert.deepEqual(await runAt(developed.resolvedUrls.local[0]), VERDICTS);
  } finally {
    await developed.close();
  }
});
