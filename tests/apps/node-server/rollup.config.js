import resolve from "@rollup/plugin-node-resolve";

export default {
  external: /^node:/,
  input: "server.js",
  output: { file: "dist/server.mjs" },
  plugins: [resolve()],
};
