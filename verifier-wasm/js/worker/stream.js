// An answer that takes its time, such as server-sent events or a download: it ends with its token.

import { watch } from "./watch.js";

/**
 * The upstream's answer, cut off once its token is not good any more. The bytes pass as they are,
 * compressed or not, without JavaScript seeing them.
 *
 * @param {Response} response of a request that asked for a body as it is (`encodeResponseBody`)
 * @param {import("../verifier.js").Verifier} verifier @param {string} token
 */
export function watchedAnswer(response, verifier, token) {
  const { body, headers, status, statusText } = response;
  const length = headers.get("content-length");
  const init = /** @type {ResponseInit} */ ({ encodeBody: "manual", headers, status, statusText });
  // What is short has arrived before anything could be revoked.
  const isShort = length !== null && Number(length) <= SHORT_BYTES;
  if (body === null || isShort) return new Response(body, init);
  const { FixedLengthStream, IdentityTransformStream } = /** @type {any} */ (globalThis);
  const { readable, writable } =
    length === null ? new IdentityTransformStream() : new FixedLengthStream(Number(length));
  const over = new AbortController();
  const stop = watch(verifier, token, ({ code }) => over.abort(new Error(code)));
  // It fails where the client or the upstream is gone, too.
  body.pipeTo(writable, { signal: over.signal }).catch(() => {}).finally(stop);
  return new Response(readable, init);
}

const SHORT_BYTES = 64 * 1024;
