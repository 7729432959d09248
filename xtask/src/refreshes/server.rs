//! The servers to measure, and a Redis for them that flushes every write before it answers.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::bench::scale::{Scale, scale};
use crate::tools::{self, root, target_dir};

/// A running server with its own folder; dropping it stops the server and removes the folder.
pub(crate) struct Redis {
    pub(crate) url: String,
    _process: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts one on a free port and waits until it accepts connections.
    pub(crate) async fn start() -> Result<Self> {
        // Not in the system's temporary folder: that may be in memory, where flushing costs
        // nothing.
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

    /// Its folder, which may also be used for the files of its client.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A running `offswitch serve`; it stops when dropped.
pub(crate) struct ControlPlane {
    pub(crate) port: u16,
    pub(crate) admin_key: String,
    pub(crate) started_in: Duration,
    process: Child,
}

impl ControlPlane {
    /// Starts one on `redis`, with its files in the folder of `redis`.
    pub(crate) async fn start(redis: &Redis) -> Result<Self> {
        Self::start_with(redis, &[]).await
    }

    /// Starts one with these further variables.
    pub(crate) async fn start_with(redis: &Redis, more: &[(&str, String)]) -> Result<Self> {
        Self::start_in(redis.folder(), &redis.url, more).await
    }

    /// Starts one with its files in `folder`, on this store (`embedded`, or a URL).
    pub(crate) async fn start_in(
        folder: &Path,
        store: &str,
        more: &[(&str, String)],
    ) -> Result<Self> {
        let port = free_port().await?;
        let log_path = folder.join("control-plane.log");
        let log = std::fs::File::create(&log_path)?;
        let begin = Instant::now();
        let process = Command::new(scale().program("offswitch"))
            .arg("serve")
            .env("OFFSWITCH_LISTEN", format!("127.0.0.1:{port}"))
            .env("OFFSWITCH_DATA_DIR", folder)
            .env("OFFSWITCH_STORE", store)
            // All clients of the measurement have one address.
            .env("OFFSWITCH_REQUESTS_PER_SOURCE", "0")
            .envs(more.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        // Asking by `offswitch health` again and again would take half of a processor.
        while !std::fs::read_to_string(&log_path)?.contains("serve_command: serving ") {
            ensure!(begin.elapsed() < START_LIMIT, "it does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let started_in = begin.elapsed();
        let admin_key = std::fs::read_to_string(folder.join("admin.key"))?;
        Ok(Self { port, admin_key: admin_key.trim().to_owned(), started_in, process })
    }

    /// The port on which it listens.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The time that processors have worked for it.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        let id = self.process.id().context("it has stopped")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // After the name, which may have spaces: proc(5) has utime and stime as fields 14 and 15, in hundredths.
        let fields = stat.rsplit_once(')').context("no name")?.1.split_whitespace().skip(11);
        let ticks = fields.take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Keeps all its threads on one processor.
    pub(crate) async fn run_on_processor(&self, number: usize) -> Result<()> {
        let id = self.process.id().context("it has stopped")?;
        let moved = Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid", &number.to_string(), &id.to_string()])
            .stdout(Stdio::null())
            .status();
        ensure!(moved.await?.success(), "taskset moves no process");
        Ok(())
    }

    /// The resident memory of its process, bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(&self.process)
    }
}

/// The resident memory of a process, bytes.
pub(crate) fn resident_bytes(process: &Child) -> Result<u64> {
    let id = process.id().context("it has stopped")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("no VmRSS")? * 1024)
}

/// A running oidc-provider in one Node process; it stops when dropped.
pub(crate) struct OidcProvider {
    pub(crate) port: u16,
    pub(crate) client_id: String,
    /// The access token of the first chain.
    pub(crate) access_token: String,
    /// One refresh token for each chain.
    pub(crate) refresh_tokens: Vec<String>,
    _process: Child,
}

impl OidcProvider {
    /// Starts one on `redis`, with that many grants made in advance.
    pub(crate) async fn start(redis: &Redis, chains: usize) -> Result<Self> {
        let errors = redis.folder().join("oidc-provider.log");
        let mut process = Command::new("node")
            .args(["tests/bench/oidc-provider.mjs", &chains.to_string()])
            .env("NODE_ENV", "production")
            .env("REDIS_URL", &redis.url)
            .env_remove("DEBUG")
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&errors)?)
            .kill_on_drop(true)
            .spawn()
            .context("node cannot be started")?;
        let output = process.stdout.take().context("no standard output")?;
        let first = timeout(START_LIMIT, BufReader::new(output).lines().next_line()).await??;
        let Some(first) = first else {
            bail!("it stopped:\n{}", std::fs::read_to_string(errors)?);
        };
        let Started { port, client_id, access_token, refresh_tokens } =
            serde_json::from_str(&first)?;
        Ok(Self { port, client_id, access_token, refresh_tokens, _process: process })
    }
}

/// What oidc-provider prints once it serves.
#[derive(Deserialize)]
struct Started {
    port: u16,
    client_id: String,
    access_token: String,
    refresh_tokens: Vec<String>,
}

/// Builds the program and its peers in the benchmark.
pub(crate) fn build(scale: &Scale) -> Result<()> {
    let programs = ["--bin", "offswitch", "--example", "fixed_body", "--example", "fixed_check"];
    tools::run("cargo", &[&["build"][..], scale.cargo_options(), &programs].concat())
}

/// A port that no process listens on.
pub(crate) async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

pub(crate) const START_LIMIT: Duration = Duration::from_secs(30);
