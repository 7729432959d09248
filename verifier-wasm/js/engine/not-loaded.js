/** The error where there is no wasm. @param {string} why */
export function notLoaded(why) {
  return Object.assign(new Error(`wasm is not loaded: ${why}`), { code: "wasm_not_loaded" });
}
