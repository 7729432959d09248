//! Runs the shell lines of a guide as written, and checks that each prints what the guide promises.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::system::System;
use crate::tools::root;

/// Runs the lines of the section `heading` in one bash, against `system`, in `folder`.
pub(crate) async fn run(system: &System, heading: &str, folder: &Path) -> Result<()> {
    let guide = std::fs::read_to_string(root().join("docs/guides/sessions.md"))?;
    let section = guide.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.with_context(|| format!("the guide has no section {heading:?}"))?;
    let lines = section.split("```bash\n").nth(1).and_then(|rest| rest.split("```").next());
    let lines = lines.context("the section has no lines to run")?;
    let mut script = String::from("set -euo pipefail\n");
    let mut checked = 0;
    for line in lines.lines() {
        match line.split_once("  # ") {
            Some((command, promised)) => {
                checked += 1;
                script.push_str(&check(command.trim(), promised.trim()));
            }
            // The addresses in the section are those of `cargo xtask up`.
            None if line.starts_with("export ORIGIN=") => {}
            None => script.push_str(&format!("{line}\n")),
        }
    }
    ensure!(checked > 10, "only {checked} lines promise anything");
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder)
        .env("ORIGIN", system.origin())
        .env("EDGE", system.edge_origin())
        .env("KEY", &system.admin_key)
        .output()
        .await?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{heading}:\n{printed}\n{errors}");
    println!("\nThe guide's {checked} calls printed what it says.");
    Ok(())
}

/// Bash code that runs `command` and fails unless its output contains `promised`.
fn check(command: &str, promised: &str) -> String {
    let promised = promised.replace('\'', "");
    format!(
        "OUT=$({command})\ncase \"$OUT\" in *'{promised}'*) ;; *)\n  \
         echo \"expected {}, got: $OUT\"; exit 1;; esac\n",
        promised.replace('"', "\\\"")
    )
}
