// Clients of a gateway that send exactly what they are given, over HTTP/1.1 and HTTP/2.

import http2 from "node:http2";
import { connect } from "node:tls";

/**
 * Sends one HTTP/1.1 request, and reads the answer until the connection ends.
 *
 * @param {number} port
 * @param {{ method?: string, path?: string, headers?: [string, string][], body?: string | Buffer }} asked
 *   `body` is what is written below the head: framed by the caller
 */
export async function ask(port, { method = "GET", path = "/", headers = [], body = "" }) {
  const hasHost = headers.some(([name]) => name.toLowerCase() === "host");
  const hasConnection = headers.some(([name]) => name.toLowerCase() === "connection");
  const head = [
    ...(hasHost ? [] : [["Host", "api.example"]]), ...(hasConnection ? [] : [["Connection", "close"]]), ...headers,
  ];
  const lines = head.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
  // A gateway that refuses a request early may reset the connection: what it answered before counts.
  let failure;
  socket.on("error", (error) => { failure = error; });
  const timer = setTimeout(() => socket.destroy(new Error("no answer within 60 s")), 60_000);
  const parts = [];
  socket.on("data", (part) => {
    parts.push(part);
    if (method === "HEAD" && Buffer.concat(parts).includes("\r\n\r\n")) socket.destroy();
  });
  socket.write(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`);
  if (body.length > 0) socket.write(body);
  await new Promise((closed) => socket.once("close", closed));
  clearTimeout(timer);
  const text = Buffer.concat(parts).toString("latin1");
  if (text === "") return { status: 0, headers: {}, text: "", failure };
  return parsed(text);
}

/** The last answer in a text: one before it may be `100 Continue`. */
function parsed(text) {
  const [head, ...rest] = text.split("\r\n\r\n");
  const status = Number(head.split(" ")[1]);
  if (status === 100) return parsed(rest.join("\r\n\r\n"));
  const headers = {};
  for (const line of head.split("\r\n").slice(1)) {
    const [name, ...value] = line.split(":");
    headers[name.toLowerCase()] = value.join(":").trim();
  }
  const body = rest.join("\r\n\r\n");
  return { status, headers, text: /chunked/.test(headers["transfer-encoding"]) ? dechunked(body) : body };
}

function dechunked(body) {
  let [text, at] = ["", 0];
  for (;;) {
    const end = body.indexOf("\r\n", at);
    const length = Number.parseInt(body.slice(at, end), 16);
    if (!(length > 0)) return text;
    text += body.slice(end + 2, end + 2 + length);
    at = end + 4 + length;
  }
}

/** One request over HTTP/2; `trailers` are sent below the body. */
export async function ask2(port, { headers = {}, body, trailers }) {
  const session = http2.connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
  session.on("error", () => {});
  try {
    const asked = { ":method": "GET", ":path": "/", ":authority": "api.example", ...headers };
    const stream = session.request(asked, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
    stream.on("wantTrailers", () => stream.sendTrailers(trailers));
    if (body !== undefined) stream.end(body);
    const answer = await new Promise((resume, fail) => {
      const parts = [];
      let [head, last] = [{}, {}];
      stream.on("response", (headers) => { head = headers; });
      stream.on("trailers", (headers) => { last = headers; });
      stream.on("data", (part) => parts.push(part));
      stream.on("error", fail);
      session.on("error", fail);
      // A refusal may come before the whole body was sent, and then the stream stays open.
      for (const event of ["end", "close"]) stream.on(event, () => resume({ head, parts, last }));
      setTimeout(() => fail(new Error("no answer within 60 s")), 60_000).unref();
    });
    const bytes = Buffer.concat(answer.parts);
    return { status: answer.head[":status"] ?? 0, headers: answer.head, text: bytes.toString(), bytes, trailers: answer.last };
  } catch (failure) {
    return { status: 0, headers: {}, text: "", failure };
  } finally {
    session.destroy();
  }
}

/** A body in one chunk, with trailers. */
export function chunked(text, trailers = []) {
  const lines = trailers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${text.length.toString(16)}\r\n${text}\r\n0\r\n${lines}\r\n`;
}

export const bearer = (token) => ["Authorization", `Bearer ${token}`];
