//! A Debian package: the program of the image, its man pages and completions, and the units of `deploy/systemd`.
//! `control-plane/Cargo.toml` says what is in it (`package.metadata.deb`).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::image::program;
use crate::image::source::Source;
use crate::tools::{self, root, target_dir};

/// Writes the package to `target/deb`.
pub(crate) fn run() -> Result<()> {
    let source = Source::of_workspace()?;
    tools::ensure_cargo_deb()?;
    let built = program::build()?;
    let folder = built.parent().context("the program is in no folder")?;
    write_documents(&built, folder)?;
    let output = target_dir().join("deb");
    let packed = Command::new("cargo")
        .args(["deb", "--package", "offswitch", "--target", &program::target()])
        .args(["--no-build", "--no-strip", "--locked", "--output"])
        .arg(&output)
        .env("SOURCE_DATE_EPOCH", source.seconds.to_string())
        .current_dir(root())
        .status()?;
    ensure!(packed.success(), "cargo deb failed");
    Ok(())
}

/// Lets the program write what it says about itself, next to it: cargo-deb looks for both there.
fn write_documents(built: &Path, folder: &Path) -> Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    std::fs::create_dir_all(&man)?;
    std::fs::create_dir_all(&completions)?;
    let written = Command::new(built).arg("man").arg(&man).status()?;
    ensure!(written.success(), "the man pages are not written");
    for (shell, file) in [("bash", "offswitch"), ("zsh", "_offswitch")] {
        let text = Command::new(built).args(["completions", shell]).output()?;
        ensure!(text.status.success(), "the completions for {shell} are not written");
        std::fs::write(completions.join(file), text.stdout)?;
    }
    Ok(())
}
