// The wasm that the application passes as the option `wasm`.

/**
 * @param {any} wasm a WebAssembly.Module, its bytes, a Response or a URL, or a promise of one
 * @returns {Promise<WebAssembly.Module>}
 */
export async function moduleOf(wasm) {
  let found = await wasm;
  if (typeof found === "string" || found instanceof URL) found = await fetch(found);
  if (found instanceof Response) {
    if (!found.ok) throw new Error(`${found.url} answered with status ${found.status}`);
    // Compiled from bytes, so that the content-type of the response does not matter.
    found = await found.arrayBuffer();
  }
  return found instanceof WebAssembly.Module ? found : WebAssembly.compile(found);
}
