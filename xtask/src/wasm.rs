//! Builds the verifier for wasm and makes the package's bindings.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::tools::root;

/// Writes `verifier-wasm/pkg`: one wasm file and its bindings, for every runtime the same.
pub(crate) fn build() -> Result<()> {
    let root = &root();
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--package", "offswitch-verifier", "--lib", "--profile", "wasm"])
        .args(["--target", TARGET, "--locked"])
        .args(["--config", &nameless_paths(root)?])
        .current_dir(root)
        .status()?;
    ensure!(built.success(), "the verifier does not build for wasm");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let package = root.join("verifier-wasm/pkg");
    Bindgen::new()
        .input_path(target.join(TARGET).join("wasm/offswitch_verifier.wasm"))
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .reset_state_function(true) // a trapped instance is replaced
        .omit_default_module_path(true)
        .out_name("offswitch")
        .generate(&package)?;
    check(&std::fs::read(package.join("offswitch_bg.wasm"))?)
}

/// Cargo joins these flags to those of `.cargo/config.toml`; no path of this machine gets into
/// the file, so that two machines build the same bytes.
fn nameless_paths(root: &Path) -> Result<String> {
    let home = std::env::home_dir().context("the home folder")?;
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let registry = cargo.join("registry/src");
    let mut flags = vec![remap(root, "/offswitch"), remap(&cargo, "/cargo")];
    // Below it each registry has a folder of its own name.
    for entry in std::fs::read_dir(&registry).into_iter().flatten() {
        flags.push(remap(&entry?.path(), "/crates"));
    }
    Ok(format!("target.{TARGET}.rustflags={flags:?}"))
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn check(wasm: &[u8]) -> Result<()> {
    let mut zipped = GzEncoder::new(Vec::new(), Compression::best());
    zipped.write_all(wasm)?;
    let zipped_bytes = zipped.finish()?.len();
    println!("offswitch_bg.wasm: {} bytes, {zipped_bytes} gzipped", wasm.len());
    ensure!(zipped_bytes <= MAX_ZIPPED_BYTES, "more than {MAX_ZIPPED_BYTES} bytes gzipped");
    Ok(())
}

const TARGET: &str = "wasm32-unknown-unknown";
/// What an edge worker or a page is ready to load before its first request.
const MAX_ZIPPED_BYTES: usize = 150_000;
