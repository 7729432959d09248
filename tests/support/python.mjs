// Programs from PyPI, each in its own virtual environment, which is created once and kept.

import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, renameSync, rmSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./fixture.mjs";

/**
 * The Python with the packages of a requirements file, exactly as pinned there.
 *
 * @param {string} requirements path of the file @returns {string}
 */
export function pythonWith(requirements) {
  const missing = missingTool();
  if (missing !== undefined) throw new Error(missing);
  const version = execFileSync(PYTHON, ["--version"], { encoding: "utf8" });
  const hash = createHash("sha256").update(version).update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const folder = join(CACHE, hash);
  if (!existsSync(folder)) install(requirements, folder);
  return join(folder, "bin", "python");
}

/** Created under another name first, so that an unfinished one is never used. */
function install(requirements, folder) {
  mkdirSync(CACHE, { recursive: true });
  const making = mkdtempSync(join(CACHE, "making-"));
  try {
    run(PYTHON, ["-m", "venv", "--copies", making]);
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    run(join(making, "bin", "python"), [...pip, "--requirement", requirements]);
    renameSync(making, folder);
  } catch (error) {
    // Another test may have created it in the meantime.
    if (!existsSync(folder)) throw error;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

function run(command, args) {
  const { status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr || stdout}`);
}

/** The missing programs, in words. */
function missingTool() {
  for (const [module, debian] of [["venv", "python3-venv"], ["ensurepip", "python3-venv"]]) {
    const { error, status } = spawnSync(PYTHON, ["-c", `import ${module}`]);
    if (error) return `${PYTHON} is missing: install Python 3.10 or newer (Debian: python3, python3-venv)`;
    if (status !== 0) return `Python's module ${module} is missing: install it (Debian: ${debian})`;
  }
  return undefined;
}

const PYTHON = "python3";
/** Cargo's target folder, so that one command removes both. */
const CACHE = join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "python");
