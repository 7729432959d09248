// The upstream's answer on its way to the client: it ends with its token.

/**
 * The answer, cut off once its token is not good any more. The bytes pass as they are, compressed or
 * not, without JavaScript seeing them.
 *
 * @param {Response} response of a request that asked for a body as it is (`encodeResponseBody`)
 * @param {import("./watch.js").Watch} watch
 */
export function watchedAnswer(response, watch) {
  const { body, headers, status, statusText } = response;
  const init = /** @type {ResponseInit} */ ({ encodeBody: "manual", headers, status, statusText });
  const length = headers.get("content-length");
  if (body === null || length === "0") {
    watch.stop();
    return new Response(body, init);
  }
  const { FixedLengthStream, IdentityTransformStream } = /** @type {any} */ (globalThis);
  const { readable, writable } =
    length === null ? new IdentityTransformStream() : new FixedLengthStream(Number(length));
  // It fails where the client or the upstream is gone, too.
  body.pipeTo(writable, { signal: watch.signal }).catch(() => {}).finally(() => watch.stop());
  return new Response(readable, init);
}
