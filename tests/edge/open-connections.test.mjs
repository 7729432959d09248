// Connections that stay open through the worker: WebSockets, and answers that are still being sent.
// Real workerd, a real WebSocket upstream. D12.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createGzip } from "node:zlib";
import { WebSocket, WebSocketServer } from "ws";
import { mint, now, sign, signingKey } from "../support/fixture.mjs";
import { codeOf, handleOf, handoverSettings, playHandover } from "../support/handover.mjs";
import { startStub } from "../support/stub.mjs";
import { startEdge } from "../support/workerd.mjs";

const key = await signingKey("EdDSA");
const { publicKey, snapshots: [base, delta] } = sign([
  { to: 2 },
  { from: 2, to: 3, tokens: ["gone"], sessions: ["over"] },
]);
const open = [];
after(async () => {
  for (const one of open) await one.close();
});

async function start(more = {}) {
  const stub = await startStub({ jwks: { keys: [key.jwk] }, snapshot: base });
  playHandover(stub, key);
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: (all) => [...all][0] });
  stub.upgrade = (request, socket) => {
    sockets.handleUpgrade(request, socket, Buffer.alloc(0), (one) => sockets.emit("connection", one, request));
    return socket;
  };
  const closes = [];
  sockets.on("connection", (socket, request) => {
    socket.on("message", (data, isBinary) => {
      if (String(data) === "close") socket.close(4000, "by the upstream");
      else socket.send(isBinary ? data : `${request.url} ${data}`);
    });
    socket.on("close", (code, reason) => closes.push([code, String(reason)]));
  });
  const edge = await startEdge(stub, publicKey, {
    ...handoverSettings(stub), OFFSWITCH_POLL_SECONDS: "0.2", ...more,
  });
  open.push(edge, stub);
  return { closes, edge, stub };
}

/** Sends the revocations since the base to its followers. */
function revoke(stub) {
  stub.feed = (request, response) => {
    const { searchParams } = new URL(request.url, stub.url);
    response.setHeader("content-type", "application/octet-stream");
    response.end(searchParams.get("since") === "1.2" ? delta : base);
  };
}

/** Opens a WebSocket through the worker; `closed` resolves to the reason of its end. */
async function connect(edge, headers, protocols = []) {
  const socket = new WebSocket(`${edge.url.replace("http", "ws")}/socket?a=1`, protocols, { headers });
  const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, String(reason)])));
  const next = () => new Promise((resolve) => socket.once("message", (data, isBinary) => resolve(isBinary ? data : String(data))));
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  return { closed, next, socket };
}

const within = (milliseconds, promise) => Promise.race([
  promise, new Promise((_, reject) => setTimeout(() => reject(new Error("too late")), milliseconds)),
]);
const bearer = (token) => ({ authorization: `Bearer ${token}` });

test("messages pass in both directions, as text and as bytes, and a close with its code", async () => {
  const { closes, edge } = await start();
  const { closed, next, socket } = await connect(edge, bearer(await mint(key)), ["chat"]);
  assert.equal(socket.protocol, "chat");
  const text = next();
  socket.send("hello é");
  assert.equal(await text, "/up/socket?a=1 hello é");
  const bytes = next();
  socket.send(Buffer.alloc(300_000, 7));
  assert.deepEqual(await bytes, Buffer.alloc(300_000, 7));
  socket.close(4123, "by the client");
  assert.deepEqual((await within(5000, closed))[0], 4123);
  await new Promise((resume) => setTimeout(resume, 200));
  assert.deepEqual(closes, [[4123, "by the client"]]);
  const other = await connect(edge, bearer(await mint(key)));
  other.socket.send("close");
  assert.deepEqual(await within(5000, other.closed), [4000, "by the upstream"]);
});

// D12: the worker gets no other request in the meantime; the socket itself follows the feed.
test("a WebSocket is closed with 4401 when its token is revoked", async () => {
  const { closes, edge, stub } = await start();
  const good = await connect(edge, bearer(await mint(key, { jti: "stays" })));
  const gone = await connect(edge, bearer(await mint(key, { jti: "gone" })));
  await new Promise((resume) => setTimeout(resume, 2500));
  assert.equal(gone.socket.readyState, WebSocket.OPEN);
  revoke(stub);
  assert.deepEqual(await within(8000, gone.closed), [4401, "revoked_token"]);
  const answer = good.next();
  good.socket.send("still");
  assert.match(await within(2000, answer), /still/);
  good.socket.close();
  await within(2000, good.closed);
  assert.ok(closes.some(([code, reason]) => code === 4401 && reason === "revoked_token"), JSON.stringify(closes));
});

// D12: when a cookie's session ends, its sockets are closed.
test("a WebSocket that the cookie opened is closed with 4401 when the session is revoked", async () => {
  const { edge, stub } = await start();
  const headers = { origin: edge.url, "sec-fetch-site": "same-origin", "offswitch-csrf": "1", "content-type": "application/json" };
  const body = JSON.stringify({ code: codeOf("over") });
  assert.equal((await fetch(`${edge.url}/auth/login`, { method: "POST", headers, body })).status, 204);
  const opened = await connect(edge, { origin: edge.url, cookie: `__Host-offswitch=${handleOf("over")}` });
  revoke(stub);
  assert.deepEqual(await within(8000, opened.closed), [4401, "revoked_session"]);
});

// D12: with the leeway of 30 s, as for every request.
test("a WebSocket is closed with 4401 when its token expires", async () => {
  const { edge } = await start();
  const { closed } = await connect(edge, bearer(await mint(key, { exp: now() - 26 })));
  assert.deepEqual(await within(9000, closed), [4401, "expired"]);
});

// D12, invariant 6: an undecided token is not reported as refused.
test("a WebSocket is closed with 4503 when its token stays undecided", async () => {
  const { edge, stub } = await start({ OFFSWITCH_MAX_STALENESS_SECONDS: "4", OFFSWITCH_POLL_SECONDS: "1" });
  [stub.snapshot] = sign([{ to: 2 }]).snapshots;
  const { closed } = await connect(edge, bearer(await mint(key)));
  stub.isUp = false;
  const began = Date.now();
  assert.deepEqual(await within(25_000, closed), [4503, "stale_snapshot"]);
  assert.ok(Date.now() - began > 5_000, "after the configured staleness and the grace");
});

/** Reads an endless answer until it ends; returns how it ended. */
async function readAll(response) {
  let text = "";
  try {
    for await (const chunk of response.body) text += Buffer.from(chunk);
    return { text, end: "ended" };
  } catch {
    return { text, end: "cut off" };
  }
}

// D12: server-sent events, downloads: an answer that is being sent is cut off.
test("an answer that is on its way is cut off when its token is revoked", async () => {
  const { edge, stub } = await start();
  const timers = [];
  stub.upstream = (_, response) => {
    response.setHeader("content-type", "text/event-stream");
    const timer = setInterval(() => response.write("data: x\n\n"), 100);
    timers.push(timer);
    response.on("close", () => clearInterval(timer));
  };
  const done = new AbortController();
  const ask = async (jti) =>
    fetch(`${edge.url}/events`, { headers: bearer(await mint(key, { jti })), signal: done.signal });
  const [gone, stays] = [await ask("gone"), await ask("stays")];
  assert.deepEqual([gone.status, stays.status], [200, 200]);
  const cut = readAll(gone);
  let other;
  const kept = readAll(stays).then((end) => { other = end; });
  await new Promise((resume) => setTimeout(resume, 1500));
  revoke(stub);
  const { text, end } = await within(8000, cut);
  assert.match(text, /data: x/, end);
  await new Promise((resume) => setTimeout(resume, 1500));
  assert.equal(other, undefined, "a good token's stream goes on");
  done.abort();
  await kept;
  for (const timer of timers) clearInterval(timer);
});

// D12: if the token is revoked while the upstream works, its answer is not passed on.
test("an answer is withheld if its token was revoked before the upstream's headers arrived", async () => {
  const { edge, stub } = await start();
  let answered = 0;
  stub.upstream = async (_, response) => {
    await new Promise((resume) => setTimeout(resume, 2500));
    answered += 1;
    response.end("secret");
  };
  const ask = async (jti) => fetch(`${edge.url}/slow`, { headers: bearer(await mint(key, { jti })) });
  const [gone, stays] = [ask("gone"), ask("stays")];
  await new Promise((resume) => setTimeout(resume, 300));
  revoke(stub);
  const refused = await within(8000, gone);
  const { code } = await refused.json();
  assert.deepEqual([refused.status, code], [401, "revoked_token"]);
  assert.equal(refused.headers.get("offswitch-verdict"), "revoked_token");
  const served = await stays;
  assert.deepEqual([served.status, await served.text()], [200, "secret"]);
  assert.ok(answered >= 1);
});

// D12: a body may be short and slow.
test("a short answer that trickles is cut off when its token is revoked", async () => {
  const { edge, stub } = await start();
  stub.upstream = async (_, response) => {
    response.setHeader("content-length", 100);
    for (let at = 0; at < 100 && response.writable; at += 1) {
      response.write("x");
      await new Promise((resume) => setTimeout(resume, 100));
    }
    response.end();
  };
  const cut = readAll(await fetch(`${edge.url}/short`, { headers: bearer(await mint(key, { jti: "gone" })) }));
  await new Promise((resume) => setTimeout(resume, 500));
  revoke(stub);
  const { text } = await within(9500, cut);
  assert.ok(text.length < 100, `${text.length} of 100 bytes`);
});

// With any length, and compressed as the upstream compressed it.
test("an answer that ends normally is complete, and compressed events arrive one by one", async () => {
  const { edge, stub } = await start();
  const headers = { ...bearer(await mint(key)), "accept-encoding": "gzip" };
  const bytes = Buffer.alloc(200_000, "0123456789");
  stub.upstream = async ({ url }, response) => {
    if (url === "/up/fixed") response.setHeader("content-length", bytes.length);
    if (url === "/up/zipped") {
      response.setHeader("content-encoding", "gzip");
      const zipped = createGzip();
      zipped.pipe(response);
      zipped.write("first");
      zipped.flush();
      await new Promise((resume) => setTimeout(resume, 1500));
      return void zipped.end("last");
    }
    response.write(bytes.subarray(0, 100_000));
    await new Promise((resume) => setTimeout(resume, 1500));
    response.end(bytes.subarray(100_000));
  };
  for (const path of ["/fixed", "/streamed"]) {
    const { text, end } = await readAll(await fetch(edge.url + path, { headers }));
    assert.deepEqual([text.length, end, text === String(bytes)], [bytes.length, "ended", true], path);
  }
  const began = Date.now();
  let first;
  let text = "";
  for await (const chunk of (await fetch(`${edge.url}/zipped`, { headers })).body) {
    first ??= Date.now() - began;
    text += Buffer.from(chunk);
  }
  assert.equal(text, "firstlast");
  assert.ok(first < 1400, `${first} ms until the first event`);
  stub.upstream = undefined;
});
