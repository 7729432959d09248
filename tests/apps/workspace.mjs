// A folder outside of this repository in which the tools of all applications are installed once,
// with the package as it would be published and a copy of each application.

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
  // Some tools need a newer Node than the one that runs npm; they are started with the newer one.
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  execFileSync("npm", args, { cwd: HERE, stdio: ["ignore", "ignore", "inherit"] });
  writeFileSync(done, lock);
}

/** Uses hard links where possible: the folder has nearly a gigabyte. */
function copyTree(from, to) {
  if (spawnSync("cp", ["-al", from, to]).status === 0) return;
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true, verbatimSymlinks: true });
}

/** Files that remain in an example's folder after someone has tried it. */
const MADE_BY_A_RUN = /examples\/[^/]+\/(node_modules|offswitch-state|package-lock\.json|\.(env\.local|next|wrangler)\b)/;
