//! The real binary, as an operator starts it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::redis_server::free_port;

/// A running control plane, killed when it is dropped.
pub(crate) struct ControlPlane {
    client: Client,
    data_dir: PathBuf,
    issuer: String,
    port: u16,
    process: Child,
    _folder: Option<TempDir>,
}

impl ControlPlane {
    /// Starts one on the embedded store in a folder of its own.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plane = Self::start_in(folder.path(), &[]).await;
        plane._folder = Some(folder);
        plane
    }

    /// Starts one with its data in `data_dir` and these additional environment variables.
    pub(crate) async fn start_in(data_dir: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_with(data_dir, &[], environment).await
    }

    /// Starts one that reads the configuration file `config`.
    pub(crate) async fn start_with_config(data_dir: &Path, config: &str) -> Self {
        Self::start_with(data_dir, &["--config", config], &[]).await
    }

    async fn start_with(data_dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let port = free_port();
        let log = data_dir.join("log");
        let log = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let process = command()
            .args(arguments)
            .arg("serve")
            .env("OFFSWITCH_LISTEN", format!("127.0.0.1:{port}"))
            .env("OFFSWITCH_DATA_DIR", data_dir)
            .env("OFFSWITCH_LOG", "debug")
            .envs(environment.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let issuer = issuer_of(data_dir, environment, port);
        let data_dir = data_dir.to_owned();
        let mut plane = Self { client, data_dir, issuer, port, process, _folder: None };
        plane.until_ready().await;
        plane
    }

    async fn until_ready(&mut self) {
        let begin = Instant::now();
        loop {
            if let Ok(response) = self.request(Method::GET, "/readyz").send().await
                && response.status().is_success()
            {
                return;
            }
            let exited = self.process.try_wait().unwrap();
            let log = self.log();
            assert!(exited.is_none(), "the control plane ended: {log}");
            assert!(begin.elapsed() < PATIENCE, "the control plane did not start: {log}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The folder with its data.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The first API key, which has every scope.
    pub(crate) fn admin_key(&self) -> String {
        std::fs::read_to_string(self.data_dir.join("admin.key")).unwrap()
    }

    /// Everything it has logged and printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data_dir.join("log")).unwrap()
    }

    /// The name of its feed and the issuer of its tokens.
    pub(crate) fn issuer(&self) -> String {
        self.issuer.clone()
    }

    /// A request without a key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// A request with the admin key.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(self.admin_key())
    }

    /// Posts JSON with the admin key.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.admin(Method::POST, path).json(body).send().await.unwrap()
    }

    /// Posts JSON with the admin key and insists on success.
    pub(crate) async fn posted(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body).await;
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path} answered {status}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Registers an issuer, so that its tokens can be revoked.
    pub(crate) async fn register(&self, name: &str, issuer: &str) -> Value {
        let body = serde_json::json!({ "issuer": issuer });
        let answer = self.admin(Method::PUT, &format!("/v1/issuers/{name}")).json(&body);
        let answer = answer.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// Gets JSON with the admin key.
    pub(crate) async fn got(&self, path: &str) -> Value {
        self.admin(Method::GET, path).send().await.unwrap().json().await.unwrap()
    }

    /// One snapshot of the feed.
    pub(crate) async fn feed(&self, query: &str) -> Vec<u8> {
        let response = self.admin(Method::GET, &format!("/v1/feed{query}")).send().await.unwrap();
        assert!(response.status().is_success());
        response.bytes().await.unwrap().to_vec()
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The process's id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends the signal with which a service manager stops a process.
    pub(crate) fn ask_to_stop(&self) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// Waits until the process has ended, and insists that it did so after the signal alone.
    pub(crate) async fn until_stopped(&mut self) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "the control plane does not stop: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the process.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A process that may not serve yet; killed when it is dropped.
pub(crate) struct Launched {
    process: Child,
    port: u16,
    log: PathBuf,
}

impl Launched {
    /// Starts one on a free port with its data in `data_dir`, and with the changes of `change`.
    pub(crate) fn start(data_dir: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let (port, log) = (free_port(), data_dir.join("log"));
        let file = std::fs::File::create(&log).unwrap();
        let mut command = command();
        command
            .arg("serve")
            .env("OFFSWITCH_LISTEN", format!("127.0.0.1:{port}"))
            .env("OFFSWITCH_DATA_DIR", data_dir)
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        change(&mut command);
        Self { process: command.spawn().unwrap(), port, log }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) async fn until_ready(&self) {
        let client = Client::builder().no_proxy().build().unwrap();
        let begin = Instant::now();
        loop {
            let answer = client.get(self.url("/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "it did not start: {}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it has exited without success; returns its log.
    pub(crate) async fn until_ended(mut self) -> String {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(!status.success());
                return self.log();
            }
            assert!(begin.elapsed() < PATIENCE, "it still runs: {}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The issuer that was set, or that of the first start in this folder, which the store remembers.
fn issuer_of(data_dir: &Path, environment: &[(&str, &str)], port: u16) -> String {
    if let Some((_, issuer)) = environment.iter().find(|(name, _)| *name == "OFFSWITCH_ISSUER") {
        return (*issuer).to_owned();
    }
    let path = data_dir.join("issuer-of-the-test");
    let known = std::fs::read_to_string(&path);
    known.unwrap_or_else(|_| {
        let issuer = format!("http://127.0.0.1:{port}");
        std::fs::write(path, &issuer).unwrap();
        issuer
    })
}

/// Runs the binary until it exits.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = command();
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

/// The binary, without the tester's own configuration.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offswitch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OFFSWITCH_")) {
        command.env_remove(name);
    }
    command
}

const PATIENCE: Duration = Duration::from_secs(20);
