// The parser for server-sent events, piece by piece and without a network.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { FetchError } from "../../verifier-wasm/js/feed/bounded-fetch.js";
import { followEvents } from "../../verifier-wasm/js/feed/stream.js";

const original = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = original;
});

/** Makes `fetch` answer with a stream of these pieces. */
function serve(pieces) {
  const encoded = pieces.map((piece) => Buffer.from(piece));
  globalThis.fetch = async (_, { headers }) => {
    serve.headers = headers;
    const body = new ReadableStream({
      pull(controller) {
        const piece = encoded.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(new Uint8Array(piece));
      },
    }, { highWaterMark: 0 });
    return new Response(body, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  };
}

async function read(pieces, limits = {}) {
  serve(pieces);
  const events = [];
  const how = { maxBytes: 10_000, timeoutSeconds: 60, ...limits };
  for await (const bytes of followEvents("http://feed.test/stream", how)) {
    assert.ok(bytes instanceof Uint8Array);
    events.push(Buffer.from(bytes).toString("latin1"));
  }
  return events;
}

const data = (text) => `data: ${Buffer.from(text, "latin1").toString("base64")}`;
const FIRST = "the first\u00ff\u0000";
const SECOND = "the second, which is longer";
const lines = (end) =>
  [": hello \u00e9\u{1f600}", "retry: 5", "event: snapshot", "id: 1.2", data(FIRST), "",
    "", "id: 1.3", "data-like: no", data(SECOND), "", ""].join(end);

for (const [name, end] of Object.entries({ LF: "\n", CRLF: "\r\n" })) {
  // S15, S08: a network may cut the stream anywhere, also inside a character or a line end.
  test(`events with ${name} line ends are read in pieces of any size`, async () => {
    const text = Buffer.from(lines(end));
    assert.deepEqual(await read([text]), [FIRST, SECOND]);
    assert.deepEqual(await read([...text].map((byte) => [byte])), [FIRST, SECOND]);
    for (let at = 0; at <= text.length; at += 1) {
      const pieces = [text.subarray(0, at), text.subarray(at)];
      assert.deepEqual(await read(pieces), [FIRST, SECOND], `cut at ${at}`);
    }
  });
}

// WHATWG HTML section 9.2.5 defines three line ends.
test("events with CR line ends are read", async () => {
  assert.deepEqual(await read([lines("\r"), ":\n"]), [FIRST, SECOND]);
});

test("a byte order mark, missing spaces and several data lines are understood", async () => {
  const base64 = Buffer.from("joined up").toString("base64");
  const text = `\ufeffdata:${base64.slice(0, 5)}\ndata: ${base64.slice(5)}\n\n`;
  assert.deepEqual(await read([text]), ["joined up"]);
});

test("an incomplete event is ignored, and so is one without data", async () => {
  assert.deepEqual(await read([`${data("cut off")}\n`]), []);
  assert.deepEqual(await read([data("cut off")]), []);
  const nothing = "event: snapshot\n\n\n\ndata\n\ndata:\n\n";
  assert.deepEqual(await read([nothing, `${data("a")}\n\n`]), ["a"]);
  assert.deepEqual(await read([]), []);
});

test("several events in one piece come one by one", async () => {
  const all = Array.from({ length: 100 }, (_, index) => `event ${index}`);
  assert.deepEqual(await read([all.map((text) => `${data(text)}\n\n`).join("")]), all);
});

// S08: an event may have the maximum size, and not one byte more.
test("an event may be as large as the largest snapshot", async () => {
  const most = "x".repeat(10_000);
  assert.deepEqual(await read([`${data(most)}\n\n`]), [most]);
  assert.deepEqual(await read([...`id: 1\n${data(most)}\n\n`]), [most]);
});

for (const more of [1, 100, 1000, 40_000]) {
  // S08: the limit does not depend on the pieces in which the event arrives.
  test(`an event that is ${more} bytes larger than the largest snapshot is refused`, async () => {
    const text = `${data("x".repeat(10_000 + more))}\n\n`;
    await assert.rejects(read([text]), /too large/);
    await assert.rejects(read(text.match(/.{1,100}/gs)), /too large/);
  });
}

// S08: events before a defect count; the defect ends the stream.
test("text that is not base64 ends the stream after the events before it", async () => {
  for (const bad of ["data: *", "data: {}", "data: AAA=A", "data: A", "data: \u00e9"]) {
    serve([`${data("good")}\n\n${bad}\n\n${data("never")}\n\n`]);
    const events = [];
    const reading = (async () => {
      const limits = { maxBytes: 10_000, timeoutSeconds: 60 };
      for await (const bytes of followEvents("http://feed.test/stream", limits)) events.push(bytes);
    })();
    await assert.rejects(reading, (error) => error instanceof FetchError);
    assert.equal(events.length, 1, bad);
  }
});

// S08: the time is bounded for pieces of any size: the work grows only with the bytes.
test("a large event in small pieces takes no more time than in one piece", async () => {
  const size = 2 << 20;
  const text = `${data("y".repeat(size))}\n\n`;
  const before = process.cpuUsage();
  const [event] = await read(text.match(/.{1,512}/gs), { maxBytes: size });
  const { user, system } = process.cpuUsage(before);
  assert.equal(event.length, size);
  const seconds = (user + system) / 1e6;
  assert.ok(seconds < 2, `${seconds} s of computing for an event of 2 MiB`);
});

// S08: the reader closes the connection, in every way of leaving it.
test("the connection is closed when the reader stops", async () => {
  let isCancelled = false;
  globalThis.fetch = async () => new Response(new ReadableStream({
    start: (controller) => controller.enqueue(Buffer.from(`${data("a")}\n\n${data("b")}\n\n`)),
    cancel: () => { isCancelled = true; },
  }), { headers: { "content-type": "text/event-stream" } });
  const limits = { maxBytes: 99, timeoutSeconds: 60 };
  for await (const _ of followEvents("http://feed.test/stream", limits)) break;
  assert.ok(isCancelled);
});

test("a stream requests events", async () => {
  await read([], { headers: { "last-event-id": "1.5" } });
  assert.deepEqual(serve.headers, { accept: "text/event-stream", "last-event-id": "1.5" });
});
