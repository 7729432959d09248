//! Keeps the paths of this machine out of what is built, so that two machines build the same bytes.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::tools::{root, target_dir};

/// For cargo's `--config`, which combines these flags with those of `.cargo/config.toml`.
pub(crate) fn rust_flags(target: &str) -> Result<String> {
    let flags: Vec<String> = prefixes()?
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .collect();
    Ok(format!("target.{target}.rustflags={flags:?}"))
}

/// For the C compiler, whose macros contain paths.
pub(crate) fn c_flags() -> Result<String> {
    let flags: Vec<String> = prefixes()?
        .iter()
        .map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()))
        .collect();
    Ok(flags.join(" "))
}

/// Folders, and what they are called instead. Of several that fit, compilers take the last.
fn prefixes() -> Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::home_dir().context("the home folder")?;
    let cargo = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
    let registry = cargo.join("registry/src");
    let mut prefixes = vec![(root(), "/offswitch"), (cargo, "/cargo")];
    if !target_dir().starts_with(root()) {
        prefixes.push((target_dir(), "/offswitch/target"));
    }
    // Below it each registry has a folder with a name of its own.
    for entry in std::fs::read_dir(registry).into_iter().flatten() {
        prefixes.push((entry?.path(), "/crates"));
    }
    Ok(prefixes)
}
