// Apps that esbuild bundles with no configuration but their platform, run as they were built.

import assert from "node:assert/strict";
import { copyFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { build } from "esbuild";
import { startPage } from "../support/browser.mjs";
import { runIn } from "../support/runtimes.mjs";
import { makeConsumer } from "./consumer.mjs";
import { VERDICTS, prepare } from "./given.mjs";

const consumer = makeConsumer();
const { close, given } = await prepare();
const browser = await startPage(consumer.folder);
after(async () => {
  await browser.close();
  await close();
  consumer.close();
});

/** Bundles one app into a new folder, away from the package. */
async function bundle(app, outfile, options) {
  const path = join(consumer.folder, "built", outfile);
  const entryPoints = [join(consumer.folder, app)];
  const all = { absWorkingDir: consumer.folder, bundle: true, logLevel: "error", ...options };
  await build({ ...all, entryPoints, outfile: path });
  return path;
}

/** Copies the wasm file to where the package has it, relative to a bundle. */
function putNextTo(path) {
  const pkg = join(dirname(path), "../../pkg");
  mkdirSync(pkg);
  copyFileSync(consumer.resolve("offswitch/wasm"), join(pkg, "offswitch_bg.wasm"));
}

/** @param {string} script @param {"module" | "text/javascript"} type */
async function runPage(script, type, more = {}) {
  const page = await browser.page.context().newPage();
  await page.goto(browser.url);
  await page.addScriptTag({ url: `/built/${script}`, type });
  const codes = await page.evaluate((all) => window.run(all), { ...given, ...more });
  await page.close();
  return codes;
}

const runNode = (path, more = {}) => runIn("Node", path, { ...given, ...more });

for (const format of ["esm", "iife"]) {
  const type = format === "esm" ? "module" : "text/javascript";

  test(`a page with offswitch/inline as ${format} is one file that judges`, async () => {
    await bundle("inline-page.js", `inline-${format}.js`, { format });
    assert.deepEqual(await runPage(`inline-${format}.js`, type), VERDICTS);
  });

  // D36: esbuild leaves the wasm file behind without a warning.
  test(`a page as ${format} judges without the wasm file`, async () => {
    await bundle("page.js", `alone/js/page-${format}.js`, { format });
    assert.deepEqual(await runPage(`alone/js/page-${format}.js`, type), VERDICTS);
  });

  test(`a page as ${format} judges with a wasm file that it names`, async () => {
    await bundle("page.js", `page-${format}/page.js`, { format });
    copyFileSync(consumer.resolve("offswitch/wasm"), join(consumer.folder, "built/anywhere.wasm"));
    const wasm = "/built/anywhere.wasm";
    assert.deepEqual(await runPage(`page-${format}/page.js`, type, { wasm }), VERDICTS);
  });
}

// The bundle's own address leads to the file: no setting is needed.
test("a page finds the wasm file where the package would have it", async () => {
  putNextTo(await bundle("page.js", "adjacent/js/loaders/page.js", { format: "esm" }));
  assert.deepEqual(await runPage("adjacent/js/loaders/page.js", "module"), VERDICTS);
});

for (const [format, extension] of [["esm", "mjs"], ["cjs", "cjs"]]) {
  const how = { format, platform: "node" };

  test(`a Node program with offswitch/inline as ${format} is one file that judges`, async () => {
    const path = await bundle("inline-program.js", `inline/program.${extension}`, how);
    assert.deepEqual(await runNode(path), VERDICTS);
  });

  // D36
  test(`a Node program as ${format} is one file that judges`, async () => {
    const path = await bundle("program.js", `alone-node/program.${extension}`, how);
    assert.deepEqual(await runNode(path), VERDICTS);
  });

  // With custom conditions, esbuild does not identify itself as a bundler.
  test(`a Node program as ${format} judges although the file is missing`, async () => {
    const path = await bundle("program.js", `lost/program.${extension}`, { ...how, conditions: ["node"] });
    assert.deepEqual(await runNode(path), VERDICTS);
  });

  test(`a Node program as ${format} judges with a wasm file that it passes`, async () => {
    const path = await bundle("program.js", `handed/program.${extension}`, how);
    const wasm = consumer.resolve("offswitch/wasm");
    assert.deepEqual(await runNode(path, { wasm }), VERDICTS);
  });
}

test("a Node program finds the wasm file where the package would have it", async () => {
  const how = { format: "esm", platform: "node" };
  const path = await bundle("program.js", "adjacent-node/js/loaders/program.mjs", how);
  putNextTo(path);
  assert.deepEqual(await runNode(path), VERDICTS);
});

test("a Node program with external packages judges unchanged", async () => {
  const how = { format: "esm", platform: "node", packages: "external" };
  const path = await bundle("program.js", "external/program.mjs", how);
  assert.deepEqual(await runNode(path), VERDICTS);
});
