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
