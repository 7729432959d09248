export default {
  devtool: false,
  entry: "./server.js",
  mode: "production",
  output: { filename: "main.cjs" },
  target: "node",
};
