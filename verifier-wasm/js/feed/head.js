// Follows a feed that is published as files (snapshot/HEAD.md). A small head, which is replaced all the time, names
// immutable parts: a base, deltas, and in itself a heartbeat. Loaded with the first round of a feed that has a head.
//
// Nothing signs the head, and nothing in it is trusted: it only says what to read. All that it names goes through
// the same checks as an answer of the control plane. The most that a wrong head can do is to delay.

import { decodeBase64 } from "./base64.js";
import { HEAD } from "./feed-file.js";
import { placeOf } from "./head-places.js";

/**
 * @typedef {import("./client.js").FeedClient} FeedClient
 * @typedef {import("./client.js").FeedTarget} FeedTarget
 * @typedef {import("./client.js").Bounds} Bounds
 * @typedef {import("./source.js").Source} Source
 * @typedef {import("../index.d.ts").RoundResult} RoundResult
 *
 * @typedef {{ name: string, bytes: number, from?: string, to: string, content?: Uint8Array }} Part A base has no
 *   `from`; `bytes` is what the head says, `content` is there once it was read.
 * @typedef {{ position: string, heartbeat: Uint8Array, base: Part, deltas: Part[], onDemand: boolean }} Head
 */

/**
 * One round: the head, and the parts that lead from the held position to it.
 *
 * @param {FeedClient} client @param {Source} source @param {Bounds} limits
 * @param {import("./head-places.js").Shared} shared what the start of the program has too: an import of it would split that
 *   into more files
 * @returns {Promise<RoundResult>}
 */
export async function readHead({ settings, target }, source, limits, shared) {
  try {
    return await round(settings, target, source, placeOf(source, target.inspect, limits, shared));
  } catch (error) {
    if (!(error instanceof HeadError)) throw error;
    throw new shared.FetchError(error.message, { code: error.code });
  }
}

/**
 * @param {import("./client.js").FeedSettings} settings @param {FeedTarget} target @param {Source} source
 * @param {import("./head-places.js").Place} place
 * @returns {Promise<RoundResult>}
 */
async function round(settings, target, source, place) {
  const { bytes, etag } = await place.read(HEAD, MAX_HEAD_BYTES, source.seen?.etag);
  // No signature covers this response, so it proves no freshness.
  if (bytes === undefined) return { applied: "ignored" };
  source.seen = undefined;
  const head = headIn(bytes, settings.id);
  checkSigned(head.heartbeat, target);
  const result = await follow(head, target, async (/** @type {string} */ name) => {
    const part = await place.read(name, settings.maxBytes);
    return /** @type {Uint8Array} */ (part.bytes);
  });
  if ("applied" in result && etag) source.seen = { href: source.url, etag };
  return result;
}

/** Before any part is read for it. @param {Uint8Array} heartbeat @param {FeedTarget} target */
function checkSigned(heartbeat, target) {
  const inspector = target.inspect?.();
  inspector?.take(heartbeat);
  inspector?.end();
}

/**
 * Reads what leads to the head's position: deltas, or the base and the deltas from there.
 *
 * @param {Head} head @param {FeedTarget} target @param {(name: string) => Promise<Uint8Array>} read
 * @returns {Promise<RoundResult>}
 */
async function follow(head, target, read) {
  const { base, heartbeat, position } = head;
  const since = target.since();
  if (since === position) return renew(heartbeat, position, target);
  // Stores return older values at times.
  if (since !== undefined && isBefore(position, since)) return { applied: "ignored" };
  let deltas = since === undefined ? undefined : await deltasFrom(since, head, false, read);
  const isByBase = deltas === undefined;
  if (isByBase) {
    // The same base again, or an older one, would be of no use.
    if (since !== undefined && !isBefore(since, base.to)) throw incomplete(`no parts lead from ${since} to ${position}`);
    const result = target.apply(await read(base.name));
    if (!("applied" in result)) return result;
    const at = target.since();
    deltas = at === undefined ? undefined : await deltasFrom(at, head, true, read);
    if (deltas === undefined) throw incomplete(`no parts lead from ${at ?? "its base"} to ${position}`);
  }
  for (const { content, name } of deltas ?? []) {
    const result = target.apply(content ?? (await read(name)));
    if (!("applied" in result)) return result;
  }
  // Undefined after too many deltas: the next round reads a base.
  const reached = target.since();
  if (reached !== undefined && isBefore(reached, position)) throw incomplete(`its parts lead to ${reached}, expected ${position}`);
  const proof = renew(heartbeat, position, target);
  return "applied" in proof ? { applied: isByBase ? "replaced" : "extended" } : proof;
}

/**
 * Only a heartbeat of the head's position proves that nothing came after that.
 *
 * @param {Uint8Array} heartbeat @param {string} position @param {FeedTarget} target
 */
function renew(heartbeat, position, target) {
  const result = target.apply(heartbeat);
  const isOther = "applied" in result && result.applied !== "refreshed" && target.since() === position;
  if (isOther) throw odd("heartbeat is not one of its position");
  return result;
}

/**
 * The deltas from a position to the head's, or undefined if there are none, or if the base is less.
 *
 * @param {string} at @param {Head} head @param {boolean} hasBase
 * @param {(name: string) => Promise<Uint8Array>} read
 * @returns {Promise<Part[] | undefined>}
 */
async function deltasFrom(at, head, hasBase, read) {
  const { base, onDemand, position } = head;
  const listed = listedFrom(at, head);
  const isLess = () => sizeOf(listed) <= base.bytes + sizeOf(listedFrom(base.to, head));
  if (listed && (hasBase || !isBefore(at, base.to) || isLess())) return listed;
  if (!onDemand || eraOf(at) !== eraOf(position)) return undefined;
  const name = `deltas/${at}_${position}`;
  try {
    return [{ name, bytes: 0, from: at, to: position, content: await read(name) }];
  } catch (error) {
    if (/** @type {any} */ (error).isMissing) return undefined;
    throw error;
  }
}

/** The listed deltas that begin at a position and lead to the head's. @param {string} from @param {Head} head */
function listedFrom(from, { deltas, position }) {
  /** @type {Part[]} */
  const way = [];
  for (let at = from; isBefore(at, position);) {
    const next = deltas.find((delta) => delta.from === at);
    if (next === undefined || way.length >= MAX_CHAIN) return undefined;
    way.push(next);
    at = next.to;
  }
  return way;
}

/** Without parts there is no way. @param {Part[]} [parts] */
const sizeOf = (parts) => parts?.reduce((sum, { bytes }) => sum + bytes, 0) ?? Infinity;

/** @param {Uint8Array} bytes @param {string} id @returns {Head} */
function headIn(bytes, id) {
  const { base, deltas, feed, format, heartbeat, on_demand: onDemand, position } = jsonIn(bytes);
  if (format !== 1) throw odd(`format is ${shown(format)}, expected 1`);
  if (feed !== id) throw new HeadError("wrong_feed", `it is of the feed ${shown(feed)}, expected ${shown(id)}`);
  if (!isPosition(position)) throw odd(`position is ${shown(position)}, expected era.seq`);
  if (!Array.isArray(deltas) || deltas.length > MAX_DELTAS) throw odd(`deltas must be an array of at most ${MAX_DELTAS}`);
  const head = {
    base: baseIn(base ?? {}),
    deltas: deltas.map((delta) => deltaIn(delta ?? {})),
    heartbeat: heartbeatIn(heartbeat),
    onDemand: onDemand === true,
    position,
  };
  checkOrder(head);
  return head;
}

/** All parts are of the era of the head and not beyond it, and the deltas are sorted. @param {Head} head */
function checkOrder({ base, deltas, position }) {
  const isWithin = (/** @type {string} */ one) => eraOf(one) === eraOf(position) && !isBefore(position, one);
  if (!isWithin(base.to)) throw odd(`base.position is ${base.to}, expected one of the era of ${position} up to it`);
  let last = "";
  for (const { from = "", to } of deltas) {
    if (eraOf(from) !== eraOf(to) || !isWithin(to)) throw odd(`a delta leads from ${from} to ${to}, the head is at ${position}`);
    if (last !== "" && !isBefore(last, from)) throw odd(`the deltas are not sorted: ${from} after ${last}`);
    last = from;
  }
}

/** Names are made of these, so that each is checked. @param {any} base @returns {Part} */
function baseIn({ bytes, digest, position }) {
  if (!isPosition(position)) throw odd(`base.position is ${shown(position)}, expected era.seq`);
  if (typeof digest !== "string" || !DIGEST.test(digest)) throw odd(`base.digest is ${shown(digest)}, expected 16 hexadecimal digits`);
  return { name: `bases/${position}-${digest}`, bytes: sizeIn(bytes), to: position };
}

/** @param {any} delta @returns {Part} */
function deltaIn({ bytes, from, to }) {
  if (!isPosition(from) || !isPosition(to)) throw odd("the ends of a delta are not era.seq");
  if (!isBefore(from, to)) throw odd(`a delta leads from ${from} to ${to}`);
  return { name: `deltas/${from}_${to}`, bytes: sizeIn(bytes), from, to };
}

/** @param {unknown} bytes */
function sizeIn(bytes) {
  if (typeof bytes !== "number" || !Number.isSafeInteger(bytes) || bytes <= 0) {
    throw odd(`bytes is ${shown(bytes)}, expected a whole number > 0`);
  }
  return bytes;
}

/** @param {unknown} text */
function heartbeatIn(text) {
  if (typeof text !== "string" || text.length > MAX_HEARTBEAT_CHARACTERS) throw odd("heartbeat is not a short text");
  try {
    return decodeBase64(text);
  } catch {
    throw odd("heartbeat is not base64");
  }
}

/** @param {Uint8Array} bytes @returns {any} */
function jsonIn(bytes) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    // Reported below.
  }
  if (typeof value !== "object" || value === null) throw odd("it is not a JSON object");
  return value;
}

/** Whether a position comes before another one. @param {string} one @param {string} other */
function isBefore(one, other) {
  const [[era, seq], [otherEra, otherSeq]] = [one, other].map((text) => text.split("."));
  return era === otherEra ? isLess(seq, otherSeq) : isLess(era, otherEra);
}

/** @param {string} position */
const eraOf = (position) => position.split(".")[0];

/** @param {unknown} text @returns {text is string} */
const isPosition = (text) => typeof text === "string" && POSITION.test(text);

/** Of decimal numbers of any size, without zeros before them. @param {string} one @param {string} other */
const isLess = (one, other) => (one.length === other.length ? one < other : one.length < other.length);

/** Why a head is of no use now. */
class HeadError extends Error {
  /** @param {string} code @param {string} problem */
  constructor(code, problem) {
    super(`the head: ${problem}`);
    this.code = code;
  }
}

/** @param {string} problem */
const odd = (problem) => new HeadError("head_malformed", problem);
/** @param {string} problem */
const incomplete = (problem) => new HeadError("head_incomplete", problem);
/** A value in a message: short, and in one line. @param {unknown} value */
const shown = (value) => (JSON.stringify(value) ?? "missing").slice(0, 80);

const POSITION = /^(0|[1-9]\d{0,19})\.(0|[1-9]\d{0,19})$/;
const DIGEST = /^[0-9a-f]{16}$/;
const MAX_HEAD_BYTES = 64 * 1024;
/** Publishers list 64. */
const MAX_DELTAS = 256;
const MAX_CHAIN = 64;
/** Of at most 8 KiB. */
const MAX_HEARTBEAT_CHARACTERS = 10_924;
