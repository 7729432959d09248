//! The figures: hot paths natively and in wasm, the way of a revoke to the edge, refreshes.

use anyhow::Result;
use clap::ValueEnum;

use crate::system::Following;
use crate::tools;
use crate::{edge_latency, refreshes, wasm};

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// Refreshes per second on durable Redis, beside what Redis allows and what oidc-provider does.
    Refreshes,
}

/// Measures everything, or the one thing asked for, once and prints it.
pub(crate) async fn run(which: Option<Which>) -> Result<()> {
    tools::ensure_npm_packages()?;
    match which {
        Some(Which::Refreshes) => refreshes::measure().await,
        None => everything().await,
    }
}

async fn everything() -> Result<()> {
    tools::ensure_wasm_target()?;
    wasm::build()?;
    tools::run(
        "cargo",
        &["bench", "--quiet", "--package", "offswitch", "--locked", "--bench", "hot_paths"],
    )?;
    tools::run("npm", &["run", "--silent", "bench", "--workspace", "tests"])?;
    edge_latency::measure(Following::LongPolling, 200).await?;
    edge_latency::measure(Following::Polling, 100).await?;
    refreshes::measure().await
}
