//! All tests.

use anyhow::Result;

use crate::bench::scale::Kind;
use crate::{bench, page, tools, tour, wasm};

/// Runs the Rust tests, the JavaScript tests in every runtime, and the tour.
pub(crate) async fn run() -> Result<()> {
    tools::ensure_wasm_target()?;
    tools::ensure_npm_packages()?;
    tools::ensure_test_programs()?;
    wasm::build()?;
    page::build()?;
    tour::run().await?;
    tools::run(
        "sh",
        &["-c", &format!("{MORE_THREADS} cargo test --workspace --all-features --locked")],
    )?;
    if tools::is_on_path("valkey-server") {
        // Some builds of it have no TLS.
        let tests = "cargo test --workspace --all-features --locked --test store redis -- \
                     --skip redis_tls --skip certificates";
        let with_valkey = format!("{MORE_THREADS} REDIS_SERVER=valkey-server {tests}");
        tools::run("sh", &["-c", &with_valkey])?;
    }
    bench::run(None, &[], Kind::Smoke).await?;
    tools::run("npm", &["test"])
}

/// Runs each fuzz target for that many seconds.
pub(crate) fn fuzz(seconds: u64) -> Result<()> {
    tools::ensure_cargo_fuzz()?;
    for target in ["token", "snapshot"] {
        let limit = format!("-max_total_time={seconds}");
        let fuzz = "cd verifier-wasm && RUSTC_BOOTSTRAP=1 cargo fuzz run";
        let command = format!("{fuzz} {target} -- {limit} -max_len=20000");
        tools::run("sh", &["-c", &command])?;
    }
    Ok(())
}

/// Most tests wait for a process or for a second to pass: with a thread for each of two processors they used a quarter
/// of both.
const MORE_THREADS: &str = "RUST_TEST_THREADS=4";
