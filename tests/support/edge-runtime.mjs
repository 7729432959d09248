// Vercel's edge runtime with one module of this repository, bundled and started like `next start` does.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { EdgeRuntime } from "edge-runtime";
import { build } from "esbuild";
import { ROOT } from "./fixture.mjs";

/** @param {string} script path from the repository's top */
export async function startEdgeRuntime(script) {
  /** The modules that were imported, by the names of the globals that hold them. */
  const wasm = {};
  const plugin = {
    name: "wasm?module",
    setup(bundle) {
      bundle.onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) =>
        ({ path: join(resolveDir, path.replace("?module", "")), namespace: "wasm" }));
      bundle.onLoad({ filter: /./, namespace: "wasm" }, async ({ path }) => {
        // Compiled outside of the runtime's context, so it belongs to another realm than the code in it.
        wasm.wasm_offswitch = await WebAssembly.compile(await readFile(path));
        return { contents: "export default wasm_offswitch;" };
      });
    },
  };
  const { outputFiles: [file] } = await build({
    bundle: true,
    conditions: ["edge-light"],
    entryPoints: [ROOT + script],
    format: "iife",
    logLevel: "silent",
    plugins: [plugin],
    write: false,
  });
  const extend = (context) => Object.assign(context, wasm);
  return new EdgeRuntime({ initialCode: file.text, extend });
}
