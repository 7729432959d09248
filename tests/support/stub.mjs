// A peer for the worker and the feed client: key set, feed and upstream on one port. Each route
// can be replaced at any time by a handler that misbehaves.

import { createServer } from "node:http";

/**
 * @param {{ jwks?: object, snapshot?: Uint8Array }} [state]
 */
export async function startStub(state = {}) {
  const stub = {
    jwks: state.jwks,
    snapshot: state.snapshot,
    /** Set to a handler in place of the good one. */
    feed: undefined,
    /** Set to false to cut every connection to keys and feed. */
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
    const isControlPlane = url.pathname === "/jwks" || url.pathname === "/feed";
    if (isControlPlane && !stub.isUp) return void request.socket.destroy();
    if (url.pathname === "/jwks") return void json(response, stub.jwks);
    if (url.pathname === "/feed") return void (stub.feed ?? good)(request, response);
    if (url.pathname === "/up/moved") {
      return void response.writeHead(302, { location: "/elsewhere" }).end();
    }
    json(response, { path: url.pathname, search: url.search, method, headers, body: String(body) });
  });
  const good = (request, response) => {
    response.setHeader("content-type", "application/octet-stream");
    response.end(stub.snapshot);
  };
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  stub.url = `http://127.0.0.1:${server.address().port}`;
  return stub;
}

/** How often a path was asked for. */
export const asked = (stub, path) => stub.requests.filter((one) => one.path === path).length;

function json(response, value) {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(value));
}
