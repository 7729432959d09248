// A peer for the worker and the feed client: key set, feed, handover and upstream on one port. A test can
// replace each route at any time with a handler that misbehaves.

import { createServer } from "node:http";

/**
 * @param {{ jwks?: object, snapshot?: Uint8Array }} [state]
 */
export async function startStub(state = {}) {
  const stub = {
    /** Or a handler that replaces the good one. */
    jwks: state.jwks,
    snapshot: state.snapshot,
    /** Set to a handler that replaces the good one. */
    feed: undefined,
    /** Answers at /feed/stream; without it there is no stream. */
    stream: undefined,
    /** Answers under /handover/; see handover.mjs. */
    handover: undefined,
    /** Answers under /up/ instead of the echo. */
    upstream: undefined,
    /** Set to false to close every connection to keys, feed and handover. */
    isUp: true,
    requests: [],
    url: "",
    close: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, stub.url);
    const body = Buffer.concat(await request.toArray().catch(() => []));
    const { method, headers } = request;
    stub.requests.push({ method, path: url.pathname, search: url.search, headers, body: String(body) });
    const isControlPlane = !url.pathname.startsWith("/up");
    if (isControlPlane && !stub.isUp) return void request.socket.destroy();
    if (url.pathname === "/jwks") {
      return void (typeof stub.jwks === "function" ? stub.jwks : keySet)(request, response);
    }
    if (url.pathname === "/feed") return void (stub.feed ?? good)(request, response);
    if (url.pathname === "/feed/stream") {
      return void (stub.stream ?? missing)(request, response);
    }
    if (url.pathname.startsWith("/handover/") && stub.handover) {
      return void stub.handover(url.pathname.slice("/handover/".length), String(body), response);
    }
    if (stub.upstream) return void stub.upstream(request, response);
    if (url.pathname === "/up/moved") {
      return void response.writeHead(302, { location: "/elsewhere" }).end();
    }
    json(response, { path: url.pathname, search: url.search, method, headers, body: String(body) });
  });
  const good = (request, response) => {
    response.setHeader("content-type", "application/octet-stream");
    response.end(stub.snapshot);
  };
  const keySet = (_, response) => json(response, stub.jwks);
  const missing = (_, response) => void response.writeHead(404).end();
  server.on("upgrade", (request, socket) => {
    stub.requests.push({ method: "UPGRADE", path: request.url, headers: request.headers });
    stub.upgrade?.(request, socket) ?? socket.destroy();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  stub.url = `http://127.0.0.1:${server.address().port}`;
  return stub;
}

/** The number of requests to a path. */
export const asked = (stub, path) => stub.requests.filter((one) => one.path === path).length;

export function json(response, value) {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(value));
}
