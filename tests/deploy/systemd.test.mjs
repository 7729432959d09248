// systemd reads the units without a complaint, and finds the services well confined. O02.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readText } from "../documents/files.mjs";
import { unknownVariables } from "./settings.mjs";

const analyze = (...args) => spawnSync("systemd-analyze", args, { encoding: "utf8", env: { ...process.env, SYSTEMD_COLORS: "0" } });
const skip = analyze("--version").status === 0 ? false : "systemd-analyze is missing: install it (Debian: systemd)";

for (const name of ["offswitch", "offswitch-guard"]) {
  const text = readText(`deploy/systemd/${name}.service`);

  test(`${name}.service is read without a complaint, and exposes at most 1.1 of 10`, { skip }, () => {
    withUnit(name, text, (unit) => {
      const verified = analyze("verify", "--man=no", unit);
      assert.equal(verified.status, 0, verified.stderr);
      assert.equal(verified.stderr, "");
      const { status, stdout } = analyze("security", "--offline=true", "--no-pager", "--threshold=11", unit);
      assert.equal(status, 0, stdout);
    });
  });

  test(`${name}.service is found worse if it may write everywhere and run every system call`, { skip }, () => {
    withUnit(name, text.replace(/^(ProtectSystem|SystemCallFilter|PrivateUsers)=.*\n/gm, ""), (unit) => {
      assert.notEqual(analyze("security", "--offline=true", "--threshold=11", unit).status, 0);
    });
  });

  test(`${name}.service sets only variables that exist`, () => {
    const names = Array.from(text.matchAll(/^#?Environment=(\w+)=/gm), ([, variable]) => variable);
    assert.ok(names.length > 0);
    assert.deepEqual(unknownVariables(names), []);
  });
}

/** Writes the unit to a folder that also has the program that it names. */
function withUnit(name, text, use) {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-unit-"));
  try {
    const program = join(folder, "offswitch");
    writeFileSync(program, "#!/bin/sh\n");
    chmodSync(program, 0o755);
    const unit = join(folder, `${name}.service`);
    writeFileSync(unit, text.replaceAll("/usr/bin/offswitch", program));
    use(unit);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
