//! The program in the image.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::NAME;
use crate::tools::{self, root};
use crate::{nameless, page, wasm};

/// Builds the program with its page, optimised and statically linked; returns its path.
pub(crate) fn build() -> Result<PathBuf> {
    let target = &target();
    tools::ensure_musl(target)?;
    tools::ensure_wasm_target()?;
    tools::ensure_npm_packages()?;
    wasm::build()?;
    page::build()?;
    println!("building {NAME} for {target}: some ten minutes from nothing");
    let built = Command::new("cargo")
        .args(["build", "--release", "--package", NAME, "--bin", NAME, "--locked"])
        .args(["--target", target, "--config", &nameless::rust_flags(target)?])
        .env(format!("CFLAGS_{}", target.replace('-', "_")), nameless::c_flags()?)
        // What C takes for the date. Not that of the commit: Cargo compiles mimalloc once for many commits.
        .env("SOURCE_DATE_EPOCH", "0")
        .current_dir(root())
        .status()?;
    ensure!(built.success(), "{NAME} does not build for {target}");
    let program = tools::target_dir().join(target).join("release").join(NAME);
    let needed = libraries(&program)?;
    ensure!(needed.is_empty(), "{NAME} is not static: it needs {needed:?}");
    Ok(program)
}

/// The libraries that a program needs at run time, and what loads them; a static program needs none.
pub(super) fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let found = Command::new("ldd").arg(program).env("LC_ALL", "C").output()?;
    let (text, error) = (String::from_utf8(found.stdout)?, String::from_utf8(found.stderr)?);
    let is_static = error.contains("not a dynamic executable");
    let is_known = (found.status.success() || is_static) && !text.contains("not found");
    ensure!(is_known, "the libraries of {}: {text}{error}", program.display());
    // `libm.so.6 => /lib/libm.so.6 (0x7f…)`, or a path alone.
    let paths = text.lines().filter_map(|line| line.split(' ').map(str::trim).find(is_absolute));
    Ok(paths.map(PathBuf::from).collect())
}

/// Of this machine's architecture, with the library that is made for static programs.
pub(crate) fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

fn is_absolute(path: &&str) -> bool {
    path.starts_with('/')
}
