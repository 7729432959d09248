// The wasm that is inside the JavaScript: zipped, half as large again as the file.

import { zipped } from "../../pkg/offswitch_inline.js";

/** @returns {Promise<WebAssembly.Module>} */
export async function inlineModule() {
  const bytes = Uint8Array.from(atob(zipped), (character) => character.charCodeAt(0));
  const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compile(await new Response(unzipped).arrayBuffer());
}
