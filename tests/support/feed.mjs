// Verifiers that follow a feed, the answers of a good feed, and those of a bad one.

import { gzipSync } from "node:zlib";
import { Verifier } from "offswitch";
import { INTERNALS } from "../../verifier-wasm/js/feed/internals.js";
import { StreamFollower } from "../../verifier-wasm/js/feed/stream-follower.js";
import { AUDIENCE, ISSUER } from "./fixture.mjs";

/** Options of a verifier with an adjustable time. */
export function optionsOf({ key, publicKey, url, time }, more = {}, feed = {}) {
  return {
    issuer: ISSUER, audience: AUDIENCE, keys: { keys: [key.jwk] },
    ...(time && { clock: () => Date.now() / 1000 + time.ahead }),
    ...more,
    feed: { url, id: "feed", publicKeys: [publicKey], maxStaleness: 600, ...feed },
  };
}

/** A verifier with these options; time can be moved past the backoff. */
export function verifierOf(parts, more = {}, feed = {}) {
  const time = { ahead: 0 };
  return { time, verifier: new Verifier(optionsOf({ ...parts, time }, more, feed)) };
}

/** Follows one stream until it ends. */
export async function followStream(verifier, signal = new AbortController().signal) {
  const { feed, onEvent, report } = verifier[INTERNALS];
  const end = await (feed.streams ?? new StreamFollower(feed)).follow(signal, onEvent);
  if ("error" in end && !signal.aborted) report({ type: "failure", ...end });
  return end;
}

/** Waits for a condition, on slow machines too; false if it does not become true. */
export async function until(holds, seconds = 15) {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    if (await holds()) return true;
    await new Promise((resume) => setTimeout(resume, 10));
  }
  return false;
}

/** Answers with one snapshot. */
export const send = (bytes, headers = {}, status = 200) => (_, response) => {
  response.writeHead(status, { "content-type": SNAPSHOT_TYPE, ...headers }).end(bytes);
};

/** One event of the stream. */
export const eventOf = (bytes, id = "1.1") =>
  `event: snapshot\nid: ${id}\ndata: ${Buffer.from(bytes).toString("base64")}\n\n`;

/** The first text that a server sends on its stream. */
export const streamEvent = (heartbeatSeconds) =>
  `event: stream\ndata: {"heartbeat_seconds":${heartbeatSeconds}}\n\n`;

/** Begins a stream with `pieces`, and leaves it open. */
export const streaming = (...pieces) => (_, response) => {
  response.writeHead(200, { "content-type": STREAM_TYPE, "cache-control": "no-store" });
  response.flushHeaders();
  for (const piece of pieces) response.write(piece);
};

/** A stream that tests can write to: `sent(bytes)` reaches every follower. */
export function openStream(...first) {
  const followers = new Set();
  const handler = (request, response) => {
    handler.requests.push(request);
    streaming(...first)(request, response);
    followers.add(response);
    response.on("close", () => followers.delete(response));
  };
  const toAll = (act) => void [...followers].forEach(act);
  return Object.assign(handler, {
    followers,
    requests: [],
    send: (bytes) => toAll((one) => one.write(eventOf(bytes))),
    write: (text) => toAll((one) => one.write(text)),
    end: () => toAll((one) => one.end()),
    reset: () => toAll((one) => one.socket.resetAndDestroy()),
  });
}

/** A header, then as much of `chunk` as the other side reads. */
const endless = (type, chunk, first = "") => (_, response) => {
  response.writeHead(200, { "content-type": type });
  const more = () => { while (response.writable && response.write(chunk)); };
  response.on("drain", more).on("error", () => {});
  response.write(first);
  more();
};

/** A header, then `text` piece by piece, repeatedly. */
const drip = (type, text, milliseconds = 20) => (_, response) => {
  response.writeHead(200, { "content-type": type });
  let at = 0;
  const timer = setInterval(() => response.write(text[at++ % text.length]), milliseconds);
  response.on("close", () => clearInterval(timer));
};

const turned = (bytes) =>
  Buffer.from(bytes.map((byte, at) => (at === bytes.length >> 1 ? byte ^ 1 : byte)));

/**
 * The useless answers of a server: `delta` is the snapshot that continues from the held position.
 *
 * @param {Record<"delta" | "fork" | "otherFeed" | "otherKey", Buffer>} parts
 */
export const hostileAnswers = ({ delta, fork, otherFeed, otherKey }) => ({
  "a page of HTML with status 200": send("<html>", { "content-type": "text/html" }),
  "a page of HTML under the right type": send("<html>Sign in</html>"),
  "no content-type": (_, response) => response.end(delta),
  "an empty answer": send(""),
  "a truncated delta": send(delta.subarray(0, delta.length - 1)),
  "a delta with bytes after it": send(Buffer.concat([delta, Buffer.from([0])])),
  "a delta cut off by the connection": (_, response) => {
    response.writeHead(200, { "content-type": SNAPSHOT_TYPE, "content-length": delta.length });
    response.write(delta.subarray(0, 50), () => response.destroy());
  },
  "a delta with one bit changed": send(turned(delta)),
  "a declared length beyond the limit": send("", { "content-length": String(1 << 30) }),
  "more bytes than the limit": endless(SNAPSHOT_TYPE, Buffer.alloc(65_536)),
  "a good beginning that never ends": endless(SNAPSHOT_TYPE, Buffer.alloc(65_536), delta),
  "a compressed bomb": send(gzipSync(Buffer.alloc(50_000_000)), { "content-encoding": "gzip" }),
  "a redirect": (_, response) => response.writeHead(302, { location: "/feed?loop" }).end(),
  "a redirect to a good snapshot": (request, response) =>
    request.url.includes("good") ? send(delta)(request, response)
      : response.writeHead(307, { location: "/feed?good" }).end(),
  "status 204": (_, response) => response.writeHead(204).end(),
  "status 500 with a good body": send(delta, {}, 500),
  "a byte now and then": drip(SNAPSHOT_TYPE, "x"),
  "no answer at all": () => {},
  "a reset connection": (request) => request.socket.resetAndDestroy(),
  "a fork": send(fork),
  "another feed's delta": send(otherFeed),
  "a stranger's signature": send(otherKey),
});

/** The useless content of a stream. */
export const hostileStreams = ({ delta, fork, otherFeed, otherKey }) => ({
  "a page of HTML": send("<html>", { "content-type": "text/html" }),
  "the event under the wrong type": send(eventOf(delta)),
  "no content-type": (_, response) => response.end(eventOf(delta)),
  "status 404": (_, response) => response.writeHead(404).end(),
  "status 204": (_, response) => response.writeHead(204).end(),
  "status 304": (_, response) => response.writeHead(304).end(),
  "status 500 with a good event": send(eventOf(delta), { "content-type": STREAM_TYPE }, 500),
  "a redirect": (_, response) => response.writeHead(302, { location: "/feed/stream?x" }).end(),
  "no answer at all": () => {},
  "a reset connection": (request) => request.socket.resetAndDestroy(),
  "silence": streaming(),
  "comments and nothing else": drip(STREAM_TYPE, [":\n\n"]),
  "events without data": drip(STREAM_TYPE, ["event: snapshot\ndata:\n\n"]),
  "an event that drips without end": drip(STREAM_TYPE, ["data: ", ..."A".repeat(1000)]),
  "a line without end": endless(STREAM_TYPE, "A".repeat(65_536), "data: "),
  "another field's line without end": endless(STREAM_TYPE, "A".repeat(65_536), "id: "),
  "data lines without end": endless(STREAM_TYPE, `data: ${"A".repeat(1000)}\n`.repeat(60)),
  "a compressed bomb": send(gzipSync(Buffer.alloc(50_000_000, "A")), {
    "content-type": STREAM_TYPE, "content-encoding": "gzip",
  }),
  "an event that is not base64": streaming("data: <html>*</html>\n\n"),
  "an event of base64url": streaming("data: -_-_\n\n"),
  "an event that is no snapshot": streaming(eventOf("nonsense")),
  "a truncated delta": streaming(eventOf(delta.subarray(0, delta.length - 1))),
  "a delta with bytes after it": streaming(eventOf(Buffer.concat([delta, Buffer.from([0])]))),
  "a delta with one bit changed": streaming(eventOf(turned(delta))),
  "a fork": streaming(eventOf(fork)),
  "another feed's delta": streaming(eventOf(otherFeed)),
  "a stranger's signature": streaming(eventOf(otherKey)),
});

export const SNAPSHOT_TYPE = "application/octet-stream";
export const STREAM_TYPE = "text/event-stream";
