//! Builds the browser page, which is embedded in the control plane and served by the edge worker.

use anyhow::Result;

use crate::tools;

/// Writes `www/dist`; the wasm file must exist.
pub(crate) fn build() -> Result<()> {
    tools::run("npm", &["run", "build", "--workspace", "www", "--silent"])
}
