import { defineConfig } from "vite";

/** What others load by name keeps its name. */
const ELEMENT = "offswitch-inspector";

export default defineConfig({
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    assetsInlineLimit: 0,
    manifest: "manifest.json",
    modulePreload: { polyfill: false },
    rollupOptions: {
      // The wasm file is always next to the page: the copy of it inside JavaScript is not needed.
      external: ["./inline.js"],
      input: {
        index: "index.html",
        outside: "outside.html",
        [ELEMENT]: "src/inspector/element.ts",
      },
      output: {
        entryFileNames: ({ name }) => (name === ELEMENT ? "[name].js" : "assets/[name]-[hash].js"),
      },
    },
    target: "es2022",
  },
});
