/** The form in which a bundler or runtime provides the wasm file: a module, its bytes or its address. Any one
 * can be passed to `createVerifier({ wasm })`. */
declare const wasm: unknown;
export default wasm;
