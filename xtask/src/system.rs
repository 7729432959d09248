//! The whole system on one machine: control plane with its page, upstream, edge worker in workerd.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::http::HeaderMap;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::page;
use crate::tools::{self, root};
use crate::wasm;

/// The ports of the parts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) control_plane: u16,
    pub(crate) edge: u16,
    pub(crate) upstream: u16,
}

/// How the edge worker follows the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Following {
    LongPolling,
    Polling,
}

/// A running system; it stops when dropped.
pub(crate) struct System {
    pub(crate) ports: Ports,
    pub(crate) admin_key: String,
    client: Client,
    _processes: Vec<Child>,
}

/// The response of the edge worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
}

impl Ports {
    /// The ports that the README names.
    pub(crate) const USUAL: Self = Self { control_plane: 8400, edge: 8401, upstream: 8402 };

    /// Free ports.
    pub(crate) async fn free() -> Result<Self> {
        Ok(Self {
            control_plane: free_port().await?,
            edge: free_port().await?,
            upstream: free_port().await?,
        })
    }
}

impl System {
    /// Builds what is needed.
    pub(crate) fn build() -> Result<()> {
        tools::ensure_wasm_target()?;
        tools::ensure_npm_packages()?;
        wasm::build()?;
        page::build()?;
        // With the features that the tests are built with, so that nothing is compiled twice.
        let build = ["build", "--quiet", "--workspace", "--all-features", "--bin", "offswitch"];
        tools::run("cargo", &[&build[..], &["--locked"]].concat())
    }

    /// Starts everything that was built, with its data in `data_dir`.
    pub(crate) async fn start(ports: Ports, data_dir: &Path, following: Following) -> Result<Self> {
        serve(ports.upstream, Router::new().fallback(echo)).await?;
        let control_plane = start_control_plane(ports, data_dir)?;
        let client = Client::builder().no_proxy().build()?;
        let origin = format!("http://127.0.0.1:{}", ports.control_plane);
        until_ok(&client, &format!("{origin}/readyz")).await.context("the control plane")?;
        let admin_key = std::fs::read_to_string(data_dir.join("admin.key"))?;
        let mut system = Self { ports, admin_key, client, _processes: vec![control_plane] };
        let keys = system.get("/v1/keys").await?;
        let edge = system.start_edge(&keys, data_dir, following).await?;
        system._processes.push(edge);
        Ok(system)
    }

    /// The address of the control plane.
    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.control_plane)
    }

    /// The address of the edge worker.
    pub(crate) fn edge_origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.edge)
    }

    /// Opens a session and returns the control plane's response.
    pub(crate) async fn open_session(&self, sub: &str) -> Result<Value> {
        self.post("/v1/sessions", &json!({ "sub": sub })).await
    }

    /// Calls the control plane with the admin key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.origin());
        let request = self.client.post(url).bearer_auth(&self.admin_key).json(body);
        let response = request.send().await?;
        let (status, body) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "{path} answered {status}: {body}");
        Ok(serde_json::from_str(&body)?)
    }

    /// Uses a refresh token; the status shows whether it was valid.
    pub(crate) async fn refresh(&self, token: &str) -> Result<(StatusCode, Value)> {
        let url = format!("{}/oauth/token", self.origin());
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let response = self.client.post(url).form(&form).send().await?;
        Ok((response.status(), response.json().await?))
    }

    /// Logs a user out everywhere.
    pub(crate) async fn log_out(&self, sub: &str) -> Result<()> {
        let url = format!("{}/v1/users/{sub}/sessions", self.origin());
        let response = self.client.delete(url).bearer_auth(&self.admin_key).send().await?;
        response.error_for_status()?;
        Ok(())
    }

    /// Posts to one of the edge worker's own routes, as a page of the same origin does; returns the
    /// cookie that was set.
    pub(crate) async fn post_edge(
        &self,
        route: &str,
        cookie: Option<&str>,
        body: &Value,
    ) -> Result<Option<String>> {
        let origin = self.edge_origin();
        let mut request = self.client.post(format!("{origin}/auth/{route}")).json(body);
        request = request.header("origin", origin).header("offswitch-csrf", "1");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await?;
        ensure!(response.status().is_success(), "{route} answered {}", response.status());
        let set = response.headers().get("set-cookie").and_then(|value| value.to_str().ok());
        Ok(set.and_then(|set| set.split(';').next()).map(str::to_owned))
    }

    /// The page that a browser gets at an address.
    pub(crate) async fn get_page(&self, address: &str) -> Result<String> {
        let response = self.client.get(address).send().await?.error_for_status()?;
        Ok(response.text().await?)
    }

    /// Calls the guarded application through the edge worker.
    pub(crate) async fn call_edge(&self, token: &str) -> Result<Answer> {
        self.call_edge_as("authorization", &format!("Bearer {token}")).await
    }

    /// Calls it with one header that identifies the caller.
    pub(crate) async fn call_edge_as(&self, header: &str, value: &str) -> Result<Answer> {
        let url = format!("{}/hello", self.edge_origin());
        let response = self.client.get(url).header(header, value).send().await?;
        let status = response.status();
        let body: Value = response.json().await.unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).unwrap_or("valid").to_owned();
        Ok(Answer { status, code })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.origin());
        let response = self.client.get(url).bearer_auth(&self.admin_key).send().await?;
        Ok(response.error_for_status()?.json().await?)
    }

    /// An API key of the edge worker for one purpose; reuses that of an earlier start if it is
    /// valid.
    async fn edge_key(&self, data_dir: &Path, scope: &str) -> Result<String> {
        let path = data_dir.join(format!("edge-{}.key", scope.replace(':', "-")));
        if let Ok(key) = std::fs::read_to_string(&path) {
            let status = format!("{}/v1/status", self.origin());
            let answer = self.client.get(status).bearer_auth(&key).send().await?;
            if answer.status().is_success() {
                return Ok(key);
            }
        }
        let asked = json!({ "name": format!("edge worker: {scope}"), "scopes": [scope] });
        let made = self.post("/v1/api-keys", &asked).await?;
        let key = made["key"].as_str().context("the answer has no key")?;
        write_secret(&path, key)?;
        Ok(key.to_owned())
    }

    /// Runs the worker of `wrangler.toml` in workerd.
    async fn start_edge(
        &self,
        keys: &Value,
        data_dir: &Path,
        following: Following,
    ) -> Result<Child> {
        let public_keys: Vec<&str> = keys["feed_public_keys"]
            .as_array()
            .context("the control plane's feed keys")?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let origin = format!("http://127.0.0.1:{}", self.ports.control_plane);
        let long_poll_seconds = match following {
            Following::LongPolling => 20,
            Following::Polling => 0,
        };
        let feed_key = self.edge_key(data_dir, "feed:read").await?;
        let handover_key = self.edge_key(data_dir, "handover").await?;
        let variables = data_dir.join("edge.env");
        write_secret(
            &variables,
            &format!(
                "OFFSWITCH_ISSUER={origin}\nOFFSWITCH_AUDIENCE=api\n\
                 OFFSWITCH_JWKS_URL={origin}/.well-known/jwks.json\n\
                 OFFSWITCH_FEED_URL={origin}/v1/feed\nOFFSWITCH_FEED_ID={origin}\n\
                 OFFSWITCH_FEED_PUBLIC_KEYS={}\nOFFSWITCH_FEED_API_KEY={}\n\
                 OFFSWITCH_LONG_POLL_SECONDS={long_poll_seconds}\n\
                 OFFSWITCH_HANDOVER_URL={origin}/v1/handover\n\
                 OFFSWITCH_HANDOVER_API_KEY={}\n\
                 UPSTREAM=http://127.0.0.1:{}\n",
                public_keys.join(","),
                feed_key,
                handover_key,
                self.ports.upstream
            ),
        )?;
        let log = std::fs::File::create(data_dir.join("edge.log"))?;
        let edge = Command::new("node")
            .arg("node_modules/wrangler/bin/wrangler.js")
            .args(["dev", "--ip", "127.0.0.1", "--inspector-port", "0", "--log-level", "warn"])
            .args(["--port", &self.ports.edge.to_string(), "--show-interactive-dev-session=false"])
            .arg("--env-file")
            .arg(&variables)
            .arg("--persist-to")
            .arg(data_dir.join("edge"))
            .env("WRANGLER_SEND_METRICS", "false")
            .env("WRANGLER_LOG_PATH", data_dir.join("wrangler"))
            .env("CI", "true")
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .context("the edge worker cannot be started")?;
        let token = self.open_session("warm-up").await?;
        let token = token["access_token"].as_str().unwrap_or_default().to_owned();
        let begin = Instant::now();
        while begin.elapsed() < START_LIMIT {
            if self.call_edge(&token).await.is_ok_and(|answer| answer.status == StatusCode::OK) {
                return Ok(edge);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(data_dir.join("edge.log")).unwrap_or_default();
        bail!("the edge worker does not answer:\n{log}")
    }
}

impl Drop for System {
    /// wrangler runs workerd in a process of its own, so the whole group must be killed.
    fn drop(&mut self) {
        for process in &self._processes {
            if let Some(id) = process.id() {
                let group = format!("-{id}");
                let _ = std::process::Command::new("kill").args(["-TERM", "--", &group]).status();
            }
        }
    }
}

/// Creates the folder for the system's data, accessible only to its user.
pub(crate) fn create_data_dir(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => Ok(made?),
    }
}

/// Writes a file that only its owner may read.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn start_control_plane(ports: Ports, data_dir: &Path) -> Result<Child> {
    let log = std::fs::File::create(data_dir.join("control-plane.log"))?;
    Command::new(control_plane_binary())
        .arg("serve")
        .env("OFFSWITCH_LISTEN", format!("127.0.0.1:{}", ports.control_plane))
        .env("OFFSWITCH_DATA_DIR", data_dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .context("the control plane cannot be started")
}

fn control_plane_binary() -> PathBuf {
    tools::target_dir().join("debug/offswitch")
}

/// The guarded application: returns which user the edge worker let in.
async fn echo(headers: HeaderMap) -> String {
    let claims = headers.get("offswitch-claims").and_then(|claims| claims.to_str().ok());
    json!({ "hello": "from the upstream", "offswitch-claims": claims }).to_string()
}

/// Serves on a port of this machine until the program ends.
pub(crate) async fn serve(port: u16, router: Router) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.with_context(|| format!("port {port} is taken"))?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port())
}

async fn until_ok(client: &Client, url: &str) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < START_LIMIT {
        if client.get(url).send().await.is_ok_and(|response| response.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("{url} does not answer")
}

const START_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // D19: only the owner may read files with keys, even if an older file was open to others.
    #[test]
    fn secrets_are_written_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        create_data_dir(&data_dir).unwrap();
        create_data_dir(&data_dir).unwrap();
        let path = data_dir.join("edge.env");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_secret(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        for (path, mode) in [(&data_dir, 0o700), (&path, 0o600)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
    }
}
