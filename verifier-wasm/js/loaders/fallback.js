// Some bundlers and sandboxes lose the wasm file. The wasm inside the JavaScript then replaces it; it is loaded
// only then.

import { notLoaded } from "../engine/not-loaded.js";

/**
 * @param {unknown} cause why the file could not be used
 * @returns {Promise<WebAssembly.Module>}
 */
export async function inlineInstead(cause) {
  try {
    const { inlineModule } = await import("./inline-module.js");
    return await inlineModule();
  } catch (error) {
    throw notLoaded(`neither its file (${cause}) nor the copy in the package (${error}) can be ` +
      'loaded: import "offswitch/inline", or give the option wasm');
  }
}
