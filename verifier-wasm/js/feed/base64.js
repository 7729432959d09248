// Snapshots as text: in the events of a stream, and in a head.

/** Without an iterator, which takes a hundred times as long. @param {string} base64 */
function fromBase64(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return bytes;
}

/**
 * Throws if the text is not base64. `Uint8Array.fromBase64` is not in every runtime yet; both read the same base64.
 *
 * @type {(base64: string) => Uint8Array}
 */
export const decodeBase64 = /** @type {any} */ (Uint8Array).fromBase64?.bind(Uint8Array) ?? fromBase64;
