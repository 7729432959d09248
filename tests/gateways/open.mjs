// WebSockets, gRPC and large uploads, with the guard in between. G05

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { request } from "node:https";
import { test } from "node:test";
import WebSocket from "ws";
import { ask, ask2, bearer } from "./client.mjs";
import { valuesLike } from "./upstream.mjs";

export function expectOpenConnections({ name }, system) {
  // G05
  test(`${name}: a WebSocket opens with a valid token only`, async () => {
    const token = await system().token("alice");
    system().upstream.seen.length = 0;
    const url = `wss://127.0.0.1:${system().port}/socket`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` }, rejectUnauthorized: false });
    const echo = await new Promise((resume, fail) => {
      socket.on("error", fail).on("open", () => socket.send("hello")).on("message", (text) => resume(String(text)));
    });
    socket.terminate();
    assert.equal(echo, "echo hello");
    assert.deepEqual(system().upstream.seen.map((seen) => valuesLike(seen, "x-user")), [["alice"]]);
    system().upstream.seen.length = 0;
    const refused = await ask(system().port, { path: "/socket", headers: [
      ["Connection", "Upgrade"], ["Upgrade", "websocket"], ["Sec-WebSocket-Version", "13"],
      ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="], ["Connection", "close"],
    ] });
    assert.equal(refused.status, 401);
    assert.deepEqual(system().upstream.seen, []);
  });

  // G05
  test(`${name}: gRPC passes over HTTP/2, with messages and trailers`, async () => {
    const token = await system().token("alice");
    const message = frame(randomBytes(70_000));
    const headers = { ":method": "POST", ":path": "/example.Echo/Say", "content-type": "application/grpc", te: "trailers" };
    system().upstream.seen.length = 0;
    const answer = await ask2(system().port, { headers: { ...headers, authorization: `Bearer ${token}` }, body: message });
    assert.equal(answer.status, 200, answer.text.slice(0, 200));
    assert.ok(answer.bytes.equals(message), "the message comes back");
    assert.equal(answer.trailers["grpc-status"], "0");
    const [seen] = system().upstream.seen;
    assert.deepEqual([seen.url, valuesLike(seen, "x-user")], ["/example.Echo/Say", ["alice"]]);
    system().upstream.seen.length = 0;
    const refused = await ask2(system().port, { headers, body: message });
    // Some gateways answer a gRPC client in its own way: UNAUTHENTICATED.
    const status = refused.headers["grpc-status"] ?? refused.trailers?.["grpc-status"];
    assert.ok(refused.status === 401 || status === "16", `${refused.status} ${status}`);
    assert.deepEqual(system().upstream.seen, []);
  });

  // G05
  test(`${name}: a large upload passes, and none without a token`, async () => {
    const token = await system().token("alice");
    const body = randomBytes(UPLOAD_BYTES);
    const answer = await upload(system().port, body, { authorization: `Bearer ${token}` });
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    const { bytes, sha256 } = JSON.parse(answer.text);
    assert.deepEqual([bytes, sha256], [body.length, createHash("sha256").update(body).digest("hex")]);
    system().upstream.seen.length = 0;
    const refused = await upload(system().port, body, {}).catch(() => ({ status: 0 }));
    assert.ok([0, 401].includes(refused.status), String(refused.status));
    assert.deepEqual(system().upstream.seen, []);
  });
}

function upload(port, body, headers) {
  return new Promise((resume, fail) => {
    const asked = request({
      host: "127.0.0.1", port, path: "/upload", method: "POST", rejectUnauthorized: false, agent: false,
      headers: { ...headers, "content-length": body.length },
    }, async (response) => {
      let text = "";
      response.on("error", fail);
      for await (const part of response) text += part;
      resume({ status: response.statusCode, text });
    });
    asked.on("error", fail);
    asked.end(body);
  });
}

/** One message of gRPC: not compressed, its length, its bytes. */
function frame(bytes) {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const UPLOAD_BYTES = 24 * 1024 * 1024;
