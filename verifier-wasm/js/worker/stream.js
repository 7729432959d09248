// The upstream's answer on its way to the client: it ends when its token does.

/**
 * The answer, cut off once its token is no longer valid. The bytes pass unchanged, compressed or not, without
 * JavaScript reading them.
 *
 * @param {Response} response of a request for an unchanged body (`encodeResponseBody`)
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
  // It also fails if the client or the upstream is gone.
  body.pipeTo(writable, { signal: watch.signal }).catch(() => {}).finally(() => watch.stop());
  return new Response(readable, init);
}
