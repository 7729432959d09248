export default { devtool: false, entry: { page: "./page.js" }, mode: "production", target: "web" };
