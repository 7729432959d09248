//! A Redis that flushes every write before it answers.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::tools::root;

/// A running server with a folder of its own; both go when it is dropped.
pub(super) struct Redis {
    pub(super) url: String,
    _process: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts one on a free port and waits until it takes connections.
    pub(super) async fn start() -> Result<Self> {
        // Not in the system's temporary folder: that may be memory, where flushing costs nothing.
        let folder = tempfile::tempdir_in(target_dir())?;
        let port = free_port().await?;
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("redis-server cannot be started")?;
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(begin.elapsed() < START_LIMIT, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { url: format!("redis://127.0.0.1:{port}"), _process: process, folder })
    }

    /// Its folder, also for the files of who uses it.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A port that nobody listens on.
pub(super) async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

/// Where Cargo builds.
pub(super) fn target_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| root().join("target"), PathBuf::from)
}

pub(super) const START_LIMIT: Duration = Duration::from_secs(30);
