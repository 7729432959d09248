// A part of the suite that takes less than a minute: some faults, one after the other, and every rule of the checker.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { buildControlPlane } from "../support/control-plane.mjs";

const FAULTS = "flush,freeze,half-open,older,restart";

// R02, R03, R09, T05: three control planes under load keep every rule while their store is emptied, frozen, cut off, as it
// was before, and killed together with them.
test("some faults under load break no rule", () => {
  buildControlPlane();
  const run = fileURLToPath(new URL("run.mjs", import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [run, "--nemeses", FAULTS, "--times", "1"]);
  const printed = `${stdout}${stderr}`;
  assert.equal(status, 0, printed);
  assert.match(printed, /\n[45] faults, [^\n]*\n(?:.*\n)*Every rule held\./, printed);
});
