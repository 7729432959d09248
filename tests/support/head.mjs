// A feed as files, by the names that a publisher gives them, and a server of such files.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

/**
 * The files of a head at `position`. `base` is `[position, bytes]`, each of `deltas` is `[from, to, bytes]`; `more`
 * replaces members of the head.
 */
export function filesOf({ base: [at, content], deltas = [], heartbeat, position }, more = {}) {
  const head = {
    format: 1,
    feed: "feed",
    position,
    heartbeat: Buffer.from(heartbeat).toString("base64"),
    base: { position: at, digest: digestOf(content), bytes: content.length },
    deltas: deltas.map(([from, to, bytes]) => ({ from, to, bytes: bytes.length })),
    ...more,
  };
  return {
    head: Buffer.from(JSON.stringify(head)),
    [baseName(at, content)]: content,
    ...Object.fromEntries(deltas.map(([from, to, bytes]) => [`deltas/${from}_${to}`, bytes])),
  };
}

/** The name of a base. Readers do not compare the digest: any hash will do. */
export const baseName = (position, content) => `bases/${position}-${digestOf(content)}`;
const digestOf = (content) => createHash("sha256").update(content).digest("hex").slice(0, 16);

/** The files by name, as a binding that has `get`. */
export const bindingOf = (files) => new Map(Object.entries(files));

/**
 * Serves files under /pub/, the head with an entity tag. `files` may be replaced; a function in place of a file's bytes
 * answers itself. `asked` lists the names that were requested.
 */
export async function serveFiles(files) {
  const site = { asked: [], files, requests: [], url: "", close: () => void server.closeAllConnections() || server.close() };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://site");
    const name = pathname.replace("/pub/", "");
    site.requests.push({ name, url: request.url, headers: request.headers });
    site.asked.push(name);
    const file = site.files[name];
    if (file === undefined) return void response.writeHead(404).end();
    if (typeof file === "function") return void file(request, response);
    if (name !== "head") return void response.end(file);
    const etag = `"${digestOf(file)}"`;
    if (request.headers["if-none-match"] === etag) return void response.writeHead(304, { etag }).end();
    response.writeHead(200, { "content-type": "application/json", etag }).end(file);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  site.url = `http://127.0.0.1:${server.address().port}/pub/head`;
  return site;
}

/** The files in one, as `offswitch snapshot export` writes them. `change` alters the header of an entry. */
export function feedFileOf(files, change = () => {}) {
  const entry = ([name, content]) => {
    const header = Buffer.alloc(BLOCK);
    header.write(name, 0);
    header.write("0000644\0", 100);
    header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("0", 156);
    header.write("ustar\x0000", 257);
    change(header, name);
    return Buffer.concat([header, content, Buffer.alloc(-content.length & (BLOCK - 1))]);
  };
  return new Uint8Array(Buffer.concat([...Object.entries(files).map(entry), Buffer.alloc(2 * BLOCK)]));
}

/** Of a tar archive. */
const BLOCK = 512;
