// The applications, one per line: the folder, how it is built and started, and what is checked.
//
// `folder`, or several on top of each other, is copied into a new folder: one of this folder, or an
// `example`. `build` and `start` are commands in node_modules/.bin, as in `npm run`; PORT is the
// port to listen on. `binary` is started instead of a command: it is a program of this repository.
// `paths` are the guarded routes (/api/me); with `quiet` no request is sent to them while the
// revocation is under way; `socket` means that there is also a WebSocket. `page` is a folder with a
// page for Chromium, `test` a command with tests of its own. `newest` requires a newer Node than
// the oldest one that the package supports.

import { RUNTIMES } from "../support/runtimes.mjs";

const [BUN] = RUNTIMES.Bun;
const [DENO] = RUNTIMES.Deno;
const deno = (...allowed) => [DENO, "run", "--no-lock", "--quiet", "--no-prompt", ...allowed, "server.js"];
const WRANGLER = [
  "wrangler", "dev", "--ip", "127.0.0.1", "--port", "PORT", "--inspector-port", "0", "VARS",
];
const example = (name) => `../../examples/${name}`;
const next = (bundler, more = []) => ({
  folder: [example("nextjs"), "next", ...more],
  build: [["next", "build", bundler]],
  start: ["next", "start", "--hostname", "127.0.0.1", "--port", "PORT"],
  paths: ["/api/me", "/api/edge", ...more.map(() => "/api/edge-route")],
});

export const APPS = {
  "examples/express-websocket": {
    folder: example("express-websocket"), start: ["node", "server.js"], socket: true,
  },
  "examples/fastify": {
    folder: example("fastify"), start: ["node", "server.js"], paths: ["/api/me", "/api/balance"],
  },
  "examples/hono": { folder: example("hono"), start: ["node", "server.js"] },
  "examples/hono in workerd": { folder: example("hono"), newest: true, quiet: true, start: WRANGLER },
  "examples/nextjs with webpack": next("--webpack"),
  // Next 16.4.6 cannot build any route handler on the edge with webpack.
  "examples/nextjs with Turbopack": next("--turbopack", ["next-edge-route"]),
  "examples/rust-service": { folder: example("rust-service"), binary: "rust-service" },
  "examples/worker": { folder: example("worker"), newest: true, quiet: true, start: WRANGLER },

  "SvelteKit": {
    folder: "sveltekit", newest: true, build: [["vite", "build"]], start: ["node", "build/index.js"],
  },
  "Astro": {
    folder: "astro", newest: true, build: [["astro", "build"]], start: ["node", "dist/server/entry.mjs"],
  },

  "esbuild for Node": {
    folder: "node-server",
    build: [["esbuild", "server.js", "--bundle", "--platform=node", "--outfile=dist/server.cjs"]],
    start: ["node", "dist/server.cjs"],
  },
  "Rollup for Node": {
    folder: "node-server", build: [["rollup", "--config"]], start: ["node", "dist/server.mjs"],
  },
  "webpack for Node": {
    folder: "node-server", newest: true, build: [["webpack"]], start: ["node", "dist/main.cjs"],
  },
  "Vite for Node": {
    folder: "node-server",
    build: [["vite", "build", "--ssr", "server.js", "--logLevel", "error"]],
    start: ["node", "dist/server.js"],
  },

  "Vite": { folder: "page", build: [["vite", "build", "--logLevel", "error"]], page: "dist/index.html" },
  "esbuild": {
    folder: "page",
    build: [["esbuild", "page.js", "--bundle", "--format=esm", "--outfile=dist/page.js"]],
    page: "dist/page.js",
  },
  "Rollup": { folder: "page", build: [["rollup", "--config"]], page: "dist/page.js" },
  "webpack": { folder: "page", newest: true, build: [["webpack"]], page: "dist/page.js" },

  "Bun": { folder: "bun", start: [BUN, "server.js"] },
  "bun build --compile": {
    folder: "bun",
    build: [[BUN, "build", "--compile", "server.js", "--outfile", "dist/server"]],
    start: ["./dist/server"],
  },
  "bun build for Node": {
    folder: "node-server",
    build: [[BUN, "build", "server.js", "--target=node", "--outfile=dist/server.mjs"]],
    start: ["node", "dist/server.mjs"],
  },
  "Deno": { folder: "deno", start: deno("--allow-env", "--allow-net", "--allow-read") },
  "Deno without --allow-read": { folder: "deno", start: deno("--allow-env", "--allow-net") },

  "CommonJS": { folder: "commonjs", start: ["node", "server.js"] },
  "TypeScript, node16, CommonJS": typescript("commonjs", "node16"),
  "TypeScript, node10, CommonJS": typescript("commonjs", "node10"),
  "TypeScript, nodenext, ES modules": typescript("modules", "nodenext"),
  "TypeScript, bundler, ES modules": typescript("modules", "bundler"),

  "Jest": { folder: "jest", test: ["jest"] },
  "Vitest": { folder: "vitest", newest: true, test: ["vitest", "run"] },
  "Vitest in workerd": { folder: "vitest-workers", newest: true, test: ["vitest", "run"] },
};

function typescript(kind, setting) {
  return {
    folder: `typescript-${kind}`,
    build: [["tsc", "--project", `tsconfig.${setting}.json`]],
    start: ["node", `dist/${setting}/server.js`],
  };
}
