/** The error when wasm is not loaded. @param {string} why */
export function notLoaded(why) {
  return Object.assign(new Error(`wasm is not loaded: ${why}`), { code: "wasm_not_loaded" });
}
