// Places in which a verifier stores floor and snapshots, good and bad ones, and a feed without a network.

import { keep } from "offswitch/stores";

/** A place in memory. `writes` lists all writes, `bytes` is the stored content. */
export function memoryPlace(bytes = {}) {
  const kept = new Map(Object.entries(bytes));
  const writes = [];
  return {
    ...keep({
      read: async (name) => kept.get(name),
      write: async (name, value) => {
        writes.push(name);
        kept.set(name, value.slice());
      },
    }),
    kept,
    writes,
  };
}

/** A place in memory that accepts values of at most this many bytes. */
export function limitedPlace(maxBytes) {
  const { kept, read, write } = memoryPlace();
  return {
    ...keep({
      read,
      write: async (name, value) => {
        if (value.length > maxBytes) throw new Error(`${name} is too large`);
        await write(name, value);
      },
    }),
    kept,
  };
}

/** A place whose first write is slow and whose later ones are faster; counts them. */
export function slowPlace(milliseconds) {
  const { kept, read, write } = memoryPlace();
  const most = { under: 0, atOnce: 0 };
  let next = milliseconds * 5;
  const store = {
    ...keep({
      read,
      write: async (name, value) => {
        most.under += 1;
        most.atOnce = Math.max(most.atOnce, most.under);
        const wait = next;
        next = Math.max(next - milliseconds, 10);
        await new Promise((resume) => setTimeout(resume, wait));
        await write(name, value);
        most.under -= 1;
      },
    }),
    kept,
  };
  return { most, store };
}

/** Snapshots in the keeper's format: each with its length before it. */
export function packed(...snapshots) {
  return new Uint8Array(Buffer.concat(snapshots.flatMap((bytes) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  })));
}

/** The position that a snapshot leads to, read as FORMAT.md describes it. */
export function positionIn(snapshot) {
  let at = 6 + 72 * snapshot[5];
  const number = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = snapshot[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const lengthOfId = Number(number());
  at += lengthOfId;
  const [era, , to] = [number(), number(), number()];
  return `${era}.${to}`;
}

/**
 * Makes every request get `feed.bytes`, or fail if there are none. Returns the feed and a function that
 * restores the network.
 */
export function fakeFeed() {
  const original = globalThis.fetch;
  const feed = { bytes: undefined, requests: 0, stop: () => void (globalThis.fetch = original) };
  globalThis.fetch = async () => {
    feed.requests += 1;
    if (feed.bytes === undefined) throw new TypeError("no network");
    return new Response(feed.bytes, { headers: { "content-type": "application/octet-stream" } });
  };
  return feed;
}
