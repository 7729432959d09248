// One HTTP exchange that is bounded in bytes and time, however the other side behaves.

/**
 * Why a document could not be fetched. `retryAfterSeconds` is the server's request, `code` names the problem of
 * bytes that did arrive, `status` is set if the server returned an unexpected one.
 */
export class FetchError extends Error {
  /** @param {string} message @param {{ cause?: unknown, code?: string, retryAfterSeconds?: number, status?: number }} [more] */
  constructor(message, { cause, ...more } = {}) {
    super(message, { cause });
    this.code = more.code;
    this.retryAfterSeconds = more.retryAfterSeconds;
    this.status = more.status;
  }
}

/**
 * @typedef {{ accept: string, body?: string, contentTypes?: string[],
 *   headers?: Record<string, string>, inspect?: () => Inspector, maxBytes: number, method?: string,
 *   signal?: AbortSignal, statuses?: number[], timeoutSeconds: number }} Limits
 *   `statuses` are those whose body is read, by default only 200.
 *
 * @typedef {{ take(piece: Uint8Array): void, end(): void }} Inspector
 *   Checks a body while it arrives; both throw a FetchError if the rest is not worth reading.
 */

/**
 * Sends a request to `url` and returns status, bytes and the entity tag of the response. The limit counts bytes
 * after decompression, as they arrive; a declared length is only used to refuse a response that is too large.
 *
 * @param {string} url
 * @param {Limits} limits
 * @returns {Promise<{ status: number, bytes: Uint8Array<ArrayBuffer>, etag: string | null }>}
 */
export async function boundedExchange(url, limits) {
  const timeout = AbortSignal.timeout(Math.ceil(limits.timeoutSeconds * 1000));
  const signal = limits.signal ? AbortSignal.any([limits.signal, timeout]) : timeout;
  const response = await boundedResponse(url, { ...limits, signal });
  const { headers, status } = response;
  const isRead = status !== NOT_MODIFIED;
  const inspector = limits.inspect?.();
  const bytes = isRead
    ? await readBounded(response, limits.maxBytes, signal, inspector)
    : new Uint8Array();
  return { status, bytes, etag: headers.get("etag") };
}

/**
 * Sends a request to `url` and returns once the headers have arrived and are as required.
 *
 * Redirects are not followed: the answer must come from the configured address. ("manual", because workerd has
 * no "error"; a redirect then arrives as a status that is not 200.)
 *
 * @param {string} url
 * @param {Limits} limits of which `signal` bounds the time
 */
export async function boundedResponse(url, limits) {
  const { body, method, signal } = limits;
  const headers = { accept: limits.accept, ...limits.headers };
  let response;
  try {
    response = await fetch(url, { body, headers, method, redirect: "manual", signal });
  } catch (cause) {
    throw new FetchError("no answer", { cause });
  }
  const problem = wrongAnswer(response, limits);
  if (problem !== undefined) {
    await response.body?.cancel().catch(() => {});
    const status = response.status === 200 ? undefined : response.status;
    throw new FetchError(problem, { retryAfterSeconds: retryAfter(response), status });
  }
  return response;
}

/** @param {Response} response @param {Limits} limits */
function wrongAnswer(response, { contentTypes, maxBytes, statuses = [200] }) {
  if (isRedirect(response)) return REDIRECTED;
  if (!statuses.includes(response.status)) return `status ${response.status}`;
  if (response.status === NOT_MODIFIED) return undefined;
  const type = (response.headers.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
  if (contentTypes && !contentTypes.includes(type)) return `content-type "${type.slice(0, 64)}"`;
  if (Number(response.headers.get("content-length")) > maxBytes) return TOO_LARGE;
  if (response.body === null) return "an empty answer";
  return undefined;
}

/** Browsers report a redirect that was not followed without its status. @param {Response} response */
function isRedirect({ status, type }) {
  return type === "opaqueredirect" || [301, 302, 303, 307, 308].includes(status);
}

/**
 * Reads an existing body.
 *
 * @param {Request | Response} message @param {number} maxBytes @param {AbortSignal} signal
 * @param {Inspector} [inspector]
 */
export async function readBounded(message, maxBytes, signal, inspector) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (message.body).getReader();
  // In some runtimes the signal does not abort the body once the headers have arrived.
  const stop = () => void reader.cancel(signal.reason).catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  const length = Number(message.headers.get("content-length"));
  const declared = Number.isSafeInteger(length) && length <= maxBytes ? length : 0;
  let bytes = new Uint8Array();
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (signal.aborted) throw new FetchError("timed out", { cause: signal.reason });
      if (done) break;
      const end = size + value.byteLength;
      if (end > maxBytes) throw new FetchError(TOO_LARGE);
      inspector?.take(value);
      if (end > bytes.byteLength) {
        // Allocates the declared size once the first piece was accepted: copying tens of megabytes repeatedly
        // would block everything else.
        const larger = new Uint8Array(Math.max(end, size * 2, size > 0 ? declared : 0));
        larger.set(bytes);
        bytes = larger;
      }
      bytes.set(value, size);
      size = end;
    }
    inspector?.end();
  } catch (cause) {
    await reader.cancel().catch(() => {});
    throw cause instanceof FetchError ? cause : new FetchError("the answer broke off", { cause });
  } finally {
    signal.removeEventListener("abort", stop);
  }
  // A part of a larger buffer would keep the whole buffer in memory.
  return size === bytes.byteLength ? bytes : bytes.slice(0, size);
}

/** Seconds or a date (RFC 9110 section 10.2.3). @param {Response} response */
function retryAfter(response) {
  const text = response.headers.get("retry-after") ?? "";
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return seconds > 0 ? seconds : undefined;
}

const NOT_MODIFIED = 304;
const REDIRECTED = "a redirect, which is not followed: configure the address that it leads to";
const TOO_LARGE = "the answer is too large";
