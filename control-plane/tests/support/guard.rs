//! A guard, as an operator starts it, in front of a control plane.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::process::{ControlPlane, command, run};
use super::redis_server::free_port;

/// A running guard, killed when it is dropped.
pub(crate) struct Guard {
    client: Client,
    folder: TempDir,
    /// What its configuration begins with: the addresses and the feed.
    base: String,
    port: u16,
    admin_port: u16,
    process: Child,
}

impl Guard {
    /// One that is ready. `settings` and `tables` end its configuration.
    pub(crate) async fn start(plane: &ControlPlane, settings: &str, tables: &str) -> Self {
        let mut guard = Self::launch(&feed_of(plane).await, settings, tables);
        guard.until_ready().await;
        guard
    }

    /// One that may not be ready. `feed` has its first settings.
    pub(crate) fn launch(feed: &str, settings: &str, tables: &str) -> Self {
        Self::launch_with(feed, settings, tables, &[])
    }

    /// The same with these environment variables.
    pub(crate) fn launch_with(
        feed: &str,
        settings: &str,
        tables: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let (port, admin_port, folder) = (free_port(), free_port(), tempfile::tempdir().unwrap());
        let base = format!(
            "listen = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{admin_port}\"\n{feed}"
        );
        fs::write(folder.path().join("guard.toml"), format!("{base}\n{settings}\n{tables}"))
            .unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = command()
            .args(["guard", "--config"])
            .arg(folder.path().join("guard.toml"))
            .envs(environment.iter().copied())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        Self { client, folder, base, port, admin_port, process }
    }

    pub(crate) async fn until_ready(&mut self) {
        let begin = Instant::now();
        loop {
            if let Ok(answer) = self.admin("/readyz").send().await
                && answer.status().is_success()
            {
                return;
            }
            let exited = self.process.try_wait().unwrap();
            assert!(exited.is_none(), "the guard ended: {}", self.log());
            assert!(begin.elapsed() < PATIENCE, "the guard is not ready: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes another configuration, and has the guard read it.
    pub(crate) fn reload(&self, settings: &str, tables: &str) {
        let text = format!("{}\n{settings}\n{tables}", self.base);
        fs::write(self.folder.path().join("guard.toml"), text).unwrap();
        self.signal("HUP");
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    pub(crate) async fn until_stopped(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "the guard does not stop: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn admin_port(&self) -> u16 {
        self.admin_port
    }

    /// The resident memory of its process.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.process.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    pub(crate) fn admin(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://127.0.0.1:{}{path}", self.admin_port))
    }

    /// Asks as nginx does, about a request of a client for `uri`.
    pub(crate) fn about(&self, method: &str, uri: &str) -> RequestBuilder {
        self.client
            .request(Method::GET, format!("http://127.0.0.1:{}/auth", self.port))
            .header("x-original-method", method)
            .header("x-original-uri", uri)
            .header("x-original-host", "shop.example")
            .header("x-original-proto", "https")
    }

    /// The status and the code of the answer about a request with this token.
    pub(crate) async fn asked(&self, method: &str, uri: &str, token: &str) -> (u16, String) {
        let about = self.about(method, uri);
        let about = if token.is_empty() { about } else { about.bearer_auth(token) };
        code(&about.send().await.unwrap())
    }

    /// Asks until the answer has this code.
    pub(crate) async fn until_code(&self, uri: &str, token: &str, expected: &str) -> Duration {
        let begin = Instant::now();
        loop {
            let answer = self.about("GET", uri).bearer_auth(token).send().await;
            // It may not listen yet.
            let found = answer.map(|answer| code(&answer).1);
            if found.as_ref().is_ok_and(|code| code == expected) {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < PATIENCE, "{found:?}, not {expected}: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `guard --check` says about this configuration, which it must end with this code for.
pub(crate) fn checked(config: &Path, text: &str, code: i32) -> String {
    fs::write(config, text).unwrap();
    let output = run(&["guard", "--check", "--config", config.to_str().unwrap()], &[]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// The status and the code of an answer.
pub(crate) fn code(answer: &Response) -> (u16, String) {
    let code = answer.headers().get("offswitch-verdict");
    let code = code.map_or("", |code| code.to_str().unwrap());
    (answer.status().as_u16(), code.to_owned())
}

/// The settings with which a guard follows the feed of a control plane.
pub(crate) async fn feed_of(plane: &ControlPlane) -> String {
    feed_at(plane, plane.port()).await
}

/// The same at another port, such as a relay's.
pub(crate) async fn feed_at(plane: &ControlPlane, port: u16) -> String {
    let keys = plane.got("/v1/keys").await;
    let (key, id) = (keys["feed_public_keys"][0].as_str().unwrap(), plane.issuer());
    let key_file = plane.data_dir().join("admin.key");
    let key_file = key_file.display();
    format!(
        "feed_urls = \"http://127.0.0.1:{port}/v1/feed\"\nfeed_public_keys = \"{key}\"\n\
         feed_id = \"{id}\"\nfeed_api_key_file = \"{key_file}\"\n"
    )
}

/// The control plane as the issuer of tokens.
pub(crate) fn issuer_of(plane: &ControlPlane) -> String {
    let (issuer, port) = (plane.issuer(), plane.port());
    format!(
        "[[issuers]]\nissuer = \"{issuer}\"\naudience = \"api\"\n\
         jwks_uri = \"http://127.0.0.1:{port}/.well-known/jwks.json\"\n"
    )
}

/// A session of `user` with this scope: its id and its access token.
pub(crate) async fn session(plane: &ControlPlane, user: &str, scope: &str) -> (String, String) {
    let claims = serde_json::json!({ "tenant": "acme", "name": "Zoë", "roles": ["a", "b"] });
    let body = serde_json::json!({ "sub": user, "scope": scope, "claims": claims });
    let opened = plane.posted("/v1/sessions", &body).await;
    let text = |name: &str| opened[name].as_str().unwrap().to_owned();
    (text("session_id"), text("access_token"))
}

/// Revokes a session.
pub(crate) async fn revoke(plane: &ControlPlane, session_id: &str) -> Value {
    plane.posted("/v1/revocations", &serde_json::json!({ "session_id": session_id })).await
}

const PATIENCE: Duration = Duration::from_secs(30);
