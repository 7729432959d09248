// Makes the CommonJS half of the package, in `cjs`: for Jest, and for TypeScript that compiles to
// CommonJS. It has the same files as `js`, so that all entry points share one instance of wasm.

import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

rmSync(join(ROOT, "cjs"), { recursive: true, force: true });
await build({
  absWorkingDir: ROOT,
  // What js/loaders/node.js reads is in the package once.
  banner: { js: 'const sibling = require("node:url").pathToFileURL(__dirname + "/../../../js/loaders/node.js").href;' },
  define: { "import.meta.url": "sibling" },
  entryPoints: await reachable(),
  format: "cjs",
  outbase: ".",
  outdir: "cjs",
  platform: "node",
  // Jest runs no `import()`.
  supported: { "dynamic-import": false },
  target: "node20",
});
writeFileSync(join(ROOT, "cjs/package.json"), '{ "type": "commonjs" }\n');
shareInline();
for (const types of named("types")) copyFileSync(join(ROOT, types), join(ROOT, "cjs", types));

/** The files of `js` that `require` finds under this condition. */
function named(condition) {
  const all = JSON.stringify(exports).matchAll(/"(\w+)":"\.\/cjs\/(js\/[\w/.-]+)"/g);
  return new Set([...all].filter(([, name]) => name === condition).map(([, , path]) => path));
}

/** These files, and what they import. */
async function reachable() {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    bundle: true,
    entryPoints: [...named("default")],
    external: ["./inline-module.js", "offswitch"],
    format: "esm",
    metafile: true,
    outdir: "cjs",
    platform: "node",
    write: false,
  });
  return Object.keys(metafile.inputs);
}

/** The wasm inside the JavaScript is in the package once, too, and rarely needed. */
function shareInline() {
  const path = join(ROOT, "cjs/js/loaders/fallback.js");
  const text = readFileSync(path, "utf8");
  const required = /Promise\.resolve\(\)\.then\(\(\) => __toESM\(require\("\.\/inline-module\.js"\)[^)]*\)\)/;
  if (!required.test(text)) throw new Error(`${path} does not import inline-module.js`);
  writeFileSync(path, text.replace(required, 'import("../../../js/loaders/inline-module.js")'));
}
