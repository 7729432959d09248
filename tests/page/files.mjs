// The page from a server that is not a control plane.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { after } from "node:test";
import { ROOT } from "../support/fixture.mjs";
import { buildPage } from "./open.mjs";

/**
 * Serves the files of the page until the file's tests end; returns the address.
 *
 * @param {(request: import("node:http").IncomingMessage,
 *   response: import("node:http").ServerResponse, index: Buffer) => void} otherwise answers all other
 *   requests; `index` is the page
 */
export async function serveFiles(otherwise) {
  buildPage();
  const folder = join(ROOT, "www/dist");
  const index = await readFile(join(folder, "index.html"));
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://page");
    const file = pathname === "/" ? index
      : await readFile(join(folder, pathname)).catch(() => undefined);
    if (file === undefined) return void otherwise(request, response, index);
    const type = TYPES[extname(pathname)] ?? "text/html";
    response.writeHead(200, { "content-type": type }).end(file);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}

const TYPES = { ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml" };
