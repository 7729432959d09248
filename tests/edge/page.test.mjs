// The browser page behind the worker, in real Chromium: its files, with the headers that the worker
// adds. A06. The page must be built before.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { after, test } from "node:test";
import { Response } from "miniflare";
import { startPage } from "../support/browser.mjs";
import { ROOT, sign } from "../support/fixture.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const TYPES = {
  ".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
/** The files as served by Cloudflare's assets. */
const PAGE = async (request) => {
  const { pathname } = new URL(request.url);
  const bytes = await readFile(join(ROOT, "www/dist", pathname)).catch(() => undefined);
  if (bytes === undefined) return new Response("", { status: 404 });
  return new Response(bytes, { headers: { "content-type": TYPES[extname(pathname)] ?? "text/plain" } });
};
const { publicKey } = sign([{ to: 4 }]);
const stub = await startStub({ jwks: { keys: [] } });
const edge = await startEdge(stub, publicKey, { OFFSWITCH_PAGE_PATH: "/offswitch" }, { serviceBindings: { PAGE } });
const browser = await startPage();
after(async () => {
  await browser.close();
  await edge.close();
  await stub.close();
});

test("the page runs under the policy that the worker sends", async () => {
  const { page } = browser;
  const complaints = [];
  page.on("console", (message) => {
    // The page looks for a control plane at its own address: the worker answers 401.
    if (message.type() === "error" && !/status of 401/.test(message.text())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const loaded = await page.goto(`${edge.url}/offswitch`);
  assert.equal(loaded.url(), `${edge.url}/offswitch/`);
  const headers = loaded.headers();
  assert.match(headers["content-security-policy"], /'wasm-unsafe-eval'.*frame-ancestors 'none'$/);
  assert.equal(headers["cross-origin-opener-policy"], "same-origin");
  await page.waitForSelector("#page *");
  // The wasm file loads, and the page shows the decoded token.
  const token = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJzdWIiOiJwYWdlLXVzZXIifQ.c2ln";
  await page.locator("textarea").first().fill(token);
  await page.waitForSelector("text=page-user");
  assert.deepEqual(complaints, []);
});

test("no other site may frame the page", async () => {
  const { page, url } = browser;
  await page.goto(url);
  await page.setContent(`<iframe src="${edge.url}/offswitch/"></iframe>`);
  await page.waitForTimeout(500);
  const [, frame] = page.frames();
  assert.equal(await frame.locator("#page").count(), 0);
});
