// The Debian package of `cargo xtask deb` has the program, its documents and the units, needs no other package, and starts
// nothing. `DEB=../target/deb/….deb node --test deploy/package.test.mjs` checks one. O02.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { readText } from "../documents/files.mjs";

const DEB = process.env.DEB;

describe("the Debian package", { skip: !DEB && "needs DEB" }, () => {
  const folder = mkdtempSync(join(tmpdir(), "offswitch-deb-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const run = (program, ...args) => execFileSync(program, args, { encoding: "utf8" });
  before(() => run("dpkg-deb", "--raw-extract", resolve(DEB), folder));

  test("has a static program, its man pages and completions", () => {
    assert.match(run(join(folder, "usr/bin/offswitch"), "--version"), /^offswitch \d/);
    assert.match(spawnSync("ldd", [join(folder, "usr/bin/offswitch")], { encoding: "utf8" }).stdout, /statically linked/);
    assert.equal(run("dpkg-deb", "--field", resolve(DEB), "Depends").trim(), "");
    const files = readdirSync(join(folder, "usr/share"), { recursive: true });
    for (const file of [/^man\/man1\/offswitch-serve\.1(\.gz)?$/, /^bash-completion\/completions\/offswitch$/, /^zsh\/.*_offswitch$/]) {
      assert.ok(files.some((name) => file.test(name)), `${file}`);
    }
  });

  test("has the units, and starts only what ran before", () => {
    const script = readFileSync(join(folder, "DEBIAN/postinst"), "utf8");
    for (const name of ["offswitch", "offswitch-guard"]) {
      const unit = readFileSync(join(folder, `usr/lib/systemd/system/${name}.service`), "utf8");
      assert.equal(unit, readText(`deploy/systemd/${name}.service`));
      assert.match(script, new RegExp(`deb-systemd-invoke try-restart ${name}\\.service`));
    }
    assert.doesNotMatch(script, /deb-systemd-invoke (re)?start/);
    assert.equal(script.match(/was-enabled/g).length, script.match(/deb-systemd-helper enable/g).length);
  });
});
