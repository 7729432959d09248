//! The audit log of a control plane, as it is in its files.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::process::{ControlPlane, run};

impl ControlPlane {
    /// The lines of its own chain.
    pub(crate) fn audit(&self) -> Vec<Value> {
        audit_lines(&self.data_dir().join("audit/serve.000001.ndjson"))
    }

    /// The lines about requests.
    pub(crate) fn audited(&self) -> Vec<Value> {
        self.audit().into_iter().filter(|line| line["type"] == "request").collect()
    }
}

/// The lines of a file.
pub(crate) fn audit_lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs `offswitch audit` in this data folder: the exit code, and what it printed.
pub(crate) fn audit_command(data_dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let data_dir = data_dir.to_str().unwrap();
    let environment = [("OFFSWITCH_DATA_DIR", data_dir), ("OFFSWITCH_LOG", "off")];
    let Output { status, stdout, stderr } = run(&[&["audit"], arguments].concat(), &environment);
    let text = [stdout, stderr].concat();
    (status.code(), String::from_utf8(text).unwrap())
}
