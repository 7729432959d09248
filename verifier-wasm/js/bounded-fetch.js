// One HTTP exchange that is bounded in bytes and time, whatever the other side does.

/** Why a document could not be fetched; `retryAfterSeconds` is what the server asked for. */
export class FetchError extends Error {
  /** @param {string} message @param {{ cause?: unknown, retryAfterSeconds?: number }} [more] */
  constructor(message, more = {}) {
    super(message, { cause: more.cause });
    this.name = "FetchError";
    this.retryAfterSeconds = more.retryAfterSeconds;
  }
}

/**
 * @typedef {{ accept: string, body?: string, contentTypes?: string[],
 *   headers?: Record<string, string>, maxBytes: number, method?: string, signal?: AbortSignal,
 *   statuses?: number[], timeoutSeconds: number }} Limits
 *   `statuses` are those whose body is read, 200 alone where nothing is said.
 */

/** Fetches `url` and answers with its bytes. @param {string} url @param {Limits} limits */
export async function boundedFetch(url, limits) {
  return (await boundedExchange(url, limits)).bytes;
}

/**
 * Sends a request to `url` and answers with status and bytes.
 *
 * Redirects are not followed: the answer must come from the configured address. ("manual", because
 * workerd has no "error"; a redirect then arrives as a status that is not 200.) The limit counts
 * bytes after decompression, as they arrive; what the server declares is only believed where it
 * is already too much.
 *
 * @param {string} url
 * @param {Limits} limits
 * @returns {Promise<{ status: number, bytes: Uint8Array<ArrayBuffer> }>}
 */
export async function boundedExchange(url, limits) {
  const timeout = AbortSignal.timeout(limits.timeoutSeconds * 1000);
  const signal = limits.signal ? AbortSignal.any([limits.signal, timeout]) : timeout;
  const headers = { accept: limits.accept, ...limits.headers };
  const { body, method } = limits;
  let response;
  try {
    response = await fetch(url, { body, headers, method, redirect: "manual", signal });
  } catch (cause) {
    throw new FetchError("no answer", { cause });
  }
  const problem = wrongAnswer(response, limits);
  if (problem !== undefined) {
    await discard(response);
    throw new FetchError(problem, { retryAfterSeconds: retryAfter(response) });
  }
  return {
    status: response.status,
    bytes: await readBounded(response, limits.maxBytes, signal),
  };
}

/** @param {Response} response @param {Limits} limits */
function wrongAnswer(response, { contentTypes, maxBytes, statuses = [200] }) {
  if (!statuses.includes(response.status)) return `status ${response.status}`;
  const type = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (contentTypes && !contentTypes.includes(type)) return `content-type "${type.slice(0, 64)}"`;
  if (Number(response.headers.get("content-length")) > maxBytes) return TOO_LARGE;
  if (response.body === null) return "an empty answer";
  return undefined;
}

/**
 * Reads a body that is there.
 *
 * @param {Request | Response} message @param {number} maxBytes @param {AbortSignal} signal
 */
export async function readBounded(message, maxBytes, signal) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (message.body).getReader();
  // Not every runtime's body fails with its signal once the headers have arrived.
  const stop = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  const declared = Number(message.headers.get("content-length"));
  let bytes = new Uint8Array(Math.min(declared || 0, maxBytes, MAX_FIRST_BYTES));
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw new FetchError("timed out", { cause: signal.reason });
      if (done) break;
      const end = size + value.byteLength;
      if (end > maxBytes) throw new FetchError(TOO_LARGE);
      if (end > bytes.byteLength) bytes = grown(bytes, size, Math.max(end, size * 2));
      bytes.set(value, size);
      size = end;
    }
  } catch (cause) {
    await reader.cancel().catch(() => {});
    throw cause instanceof FetchError ? cause : new FetchError("the answer broke off", { cause });
  } finally {
    signal.removeEventListener("abort", stop);
  }
  // A part of a larger buffer would keep all of it alive.
  return size === bytes.byteLength ? bytes : bytes.slice(0, size);
}

/** @param {Uint8Array} bytes @param {number} used @param {number} size */
function grown(bytes, used, size) {
  const larger = new Uint8Array(size);
  larger.set(bytes.subarray(0, used));
  return larger;
}

/** @param {Response} response */
async function discard(response) {
  await response.body?.cancel().catch(() => {});
}

/** @param {Response} response */
function retryAfter(response) {
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

const TOO_LARGE = "the answer is too large";
/** What is set aside for a declared length before any of it has arrived. */
const MAX_FIRST_BYTES = 16 * 1024 * 1024;
