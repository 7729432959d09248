//! Builds the browser page, which the control plane has in it and the edge worker serves.

use anyhow::Result;

use crate::tools;

/// Writes `www/dist`; the wasm file must be there.
pub(crate) fn build() -> Result<()> {
    tools::run("npm", &["run", "build", "--workspace", "www", "--silent"])
}
