//! The figures: hot paths natively and in wasm, and the way of a revoke to the edge.

use anyhow::Result;

use crate::system::Following;
use crate::tools;
use crate::{edge_latency, wasm};

/// Measures everything once and prints it.
pub(crate) async fn run() -> Result<()> {
    tools::ensure_wasm_target()?;
    tools::ensure_npm_packages()?;
    wasm::build()?;
    tools::run(
        "cargo",
        &["bench", "--quiet", "--package", "offswitch", "--locked", "--bench", "hot_paths"],
    )?;
    tools::run("npm", &["run", "--silent", "bench", "--workspace", "tests"])?;
    edge_latency::measure(Following::LongPolling, 200).await?;
    edge_latency::measure(Following::Polling, 100).await
}
