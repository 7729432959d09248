// A project outside of this repository in which npm has installed the package from the tarball that
// would be published.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "../support/fixture.mjs";

const APPS = fileURLToPath(new URL("apps/", import.meta.url));

/** The folder where the apps of this folder are installed with the package; `close` removes it. */
export function makeConsumer() {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-consumer-"));
  const how = { cwd: folder, encoding: "utf8", env: environment(folder) };
  const npm = (...args) => execFileSync("npm", args, how);
  cpSync(APPS, folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  npm("pack", "--ignore-scripts", "--silent", join(ROOT, "verifier-wasm"));
  const tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")));
  npm("install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", tarball);
  return {
    folder,
    tarball,
    package: join(folder, "node_modules/offswitch"),
    /** The path of an entry point that Node resolves. */
    resolve: (name) => createRequire(join(folder, "package.json")).resolve(name),
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The environment without the settings and caches of the npm that runs the tests. */
function environment(folder) {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name));
  const own = { npm_config_cache: join(folder, ".npm"), npm_config_update_notifier: "false" };
  return { ...Object.fromEntries(kept), ...own };
}
