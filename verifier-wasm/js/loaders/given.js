// The wasm that the application hands over as the option `wasm`.

/**
 * @param {any} wasm a WebAssembly.Module, its bytes, a Response or a URL, or a promise of one
 * @returns {Promise<WebAssembly.Module>}
 */
export async function moduleOf(wasm) {
  const given = await wasm;
  const isAddress = typeof given === "string" || given instanceof URL;
  const found = isAddress ? await fetch(given) : given;
  if (found instanceof WebAssembly.Module) return found;
  if (!(found instanceof Response)) return WebAssembly.compile(found);
  if (!found.ok) throw new Error(`${found.url} answered with status ${found.status}`);
  // Compiled from bytes, so that the content-type of the response does not matter.
  return WebAssembly.compile(await found.arrayBuffer());
}
