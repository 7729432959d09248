// The service behind the gateways. Remembers each request as it arrived, and answers with that.

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import http2 from "node:http2";
import { WebSocketServer } from "ws";

/** Starts the service: HTTP/1.1 with WebSockets at `port`, HTTP/2 without TLS at `grpcPort`. */
export async function startUpstream() {
  const upstream = { seen: [] };
  const remember = async (request) => {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const part of request) {
      hash.update(part);
      bytes += part.length;
    }
    const { method, url, rawHeaders, rawTrailers = [], trailers = {} } = request;
    const seen = {
      method, url, headers: pairs(rawHeaders), bytes, sha256: hash.digest("hex"),
      trailers: [...pairs(rawTrailers), ...Object.entries(trailers)],
    };
    if (!upstream.isLoaded) upstream.seen.push(seen);
    return seen;
  };
  const plain = createServer({ maxHeaderSize: 65_536 }, async (request, response) => {
    response.on("error", () => {});
    const seen = await remember(request).catch(() => undefined);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(seen));
  });
  const sockets = new WebSocketServer({ server: plain });
  sockets.on("connection", (socket, request) => {
    const { method, url, rawHeaders } = request;
    upstream.seen.push({ method, url, headers: pairs(rawHeaders), trailers: [] });
    socket.on("error", () => {}).on("message", (text) => socket.send(`echo ${text}`));
  });
  const grpc = http2.createServer({ settings: { maxHeaderListSize: 65_536 } }, async (request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    await remember(request).catch(() => undefined);
    response.writeHead(200, { "content-type": "application/grpc" });
    response.addTrailers({ "grpc-status": "0" });
    response.end(Buffer.concat(parts));
  });
  const connections = new Set();
  const listen = async (server) => {
    server.on("connection", (connection) => {
      connections.add(connection.once("close", () => connections.delete(connection)).on("error", () => {}));
    });
    await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
    return server.address().port;
  };
  upstream.port = await listen(plain);
  upstream.grpcPort = await listen(grpc);
  upstream.close = () => {
    for (const server of [plain, grpc]) server.close();
    for (const connection of connections) connection.destroy();
  };
  return upstream;
}

/** The values that a request has under names that a server may take for `name`. */
export function valuesLike(seen, name) {
  const plain = (text) => text.toLowerCase().replaceAll(/[_.]/g, "-");
  return seen.headers.filter(([own]) => plain(own) === name).map(([, value]) => value);
}

function pairs(raw) {
  return Array.from({ length: raw.length / 2 }, (_, index) => [raw[index * 2], raw[index * 2 + 1]]);
}
