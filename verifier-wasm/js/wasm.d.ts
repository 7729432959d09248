/** What a bundler or runtime makes of the wasm file: a module, its bytes or its address. Any one
 * can be handed to `createVerifier({ wasm })`. */
declare const wasm: unknown;
export default wasm;
