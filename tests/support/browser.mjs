// A headless Chromium with a page that can import the modules of a folder: this repository's.

import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { chromium } from "playwright-core";
import { ROOT } from "./fixture.mjs";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

/** @param {string} [folder] @param {import("playwright-core").BrowserContextOptions} [options] */
export async function startPage(folder = ROOT, options = {}) {
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const type = TYPES[extname(pathname)];
    if (type === undefined) {
      return void response.setHeader("content-type", "text/html").end("<!doctype html>");
    }
    try {
      const bytes = await readFile(join(folder, pathname));
      response.setHeader("content-type", type).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const browser = await chromium.launch({
    executablePath: execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  const page = await (await browser.newContext(options)).newPage();
  const url = `http://127.0.0.1:${server.address().port}`;
  await page.goto(url);
  const close = async () => {
    await browser.close();
    server.closeAllConnections();
    server.close();
  };
  return { page, url, close };
}
