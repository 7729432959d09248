// A folder outside of this repository with the tools of all applications installed once, the package as it
// would be published, and a copy of each application.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "../support/fixture.mjs";

const HERE = fileURLToPath(new URL("./", import.meta.url));

export function makeWorkspace() {
  installTools();
  const folder = mkdtempSync(join(tmpdir(), "offswitch-apps-"));
  const modules = join(folder, "node_modules");
  copyTree(join(HERE, "node_modules"), modules);
  const npm = { cwd: folder, encoding: "utf8" };
  execFileSync("npm", ["pack", "--ignore-scripts", "--silent", join(ROOT, "verifier-wasm")], npm);
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  mkdirSync(join(modules, "offswitch"));
  execFileSync("tar", ["-xzf", tarball, "--strip-components=1", "-C", join(modules, "offswitch")], npm);
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  return {
    folder,
    /** Copies an application to a folder of its own. */
    copy(app, name) {
      const own = join(folder, name);
      mkdirSync(own);
      cpSync(join(HERE, "options.js"), join(own, "options.js"));
      const filter = (path) => !MADE_BY_A_RUN.test(path);
      for (const part of [app].flat()) cpSync(join(HERE, part), own, { filter, recursive: true });
      return own;
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The tools, exactly as locked: downloaded once, then kept. */
function installTools() {
  const lock = readFileSync(join(HERE, "package-lock.json"));
  const done = join(HERE, "node_modules/.installed-lock");
  if (existsSync(done) && readFileSync(done).equals(lock)) return;
  // Some tools want a newer Node than npm runs on here; they are started with one.
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  execFileSync("npm", args, { cwd: HERE, stdio: ["ignore", "ignore", "inherit"] });
  writeFileSync(done, lock);
}

/** By hard links where that is possible: it is nearly a gigabyte. */
function copyTree(from, to) {
  if (spawnSync("cp", ["-al", from, to]).status === 0) return;
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
}

/** What somebody who tried an example has left in its folder. */
const MADE_BY_A_RUN = /examples\/[^/]+\/(node_modules|offswitch-state|package-lock\.json|\.(env\.local|next|wrangler)\b)/;
