//! A control plane that knows its transmitters by a token, and what it has to do with them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::in_process::MASTER;
use super::process::ControlPlane;
use super::redis_server::RedisServer;
use super::transmitter::{TOKEN, Transmitter};

/// One with the token of the issuer `idp` for a transmitter in a file, and more of the environment.
pub(crate) async fn start_with_token(
    folder: &Path,
    transmitter: &Transmitter,
    environment: &[(&str, &str)],
) -> ControlPlane {
    let file = write_token(folder, transmitter.issuer());
    let file = [("OFFSWITCH_RECEIVER_SECRETS_FILE", file.as_str())];
    ControlPlane::start_in(folder, &[&file, environment].concat()).await
}

/// Two such processes with one master key on one Redis.
pub(crate) async fn start_two(
    redis: &RedisServer,
    transmitter: &Transmitter,
) -> (ControlPlane, ControlPlane, [TempDir; 2]) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let url = redis.url();
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_ISSUER", "https://auth.example"),
        ("OFFSWITCH_MASTER_KEY", MASTER),
    ];
    let one = start_with_token(folders[0].path(), transmitter, &environment).await;
    // Only the first start makes an API key; both processes know it.
    let [from, to] = [&folders[0], &folders[1]].map(|folder| folder.path().join("admin.key"));
    std::fs::copy(from, to).unwrap();
    let other = start_with_token(folders[1].path(), transmitter, &environment).await;
    (one, other, folders)
}

fn write_token(folder: &Path, transmitter: &str) -> String {
    let file = folder.join("receivers.toml");
    std::fs::write(
        &file,
        format!("[idp]\ntransmitter = \"{transmitter}\"\ntransmitter_token = \"{TOKEN}\"\n"),
    )
    .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Registers the issuer `idp` with a receiver of events for `https://rp.example`, and these members.
pub(crate) async fn register(plane: &ControlPlane, members: &Value) {
    let mut events = json!({ "audiences": ["https://rp.example"] });
    for (name, value) in members.as_object().unwrap() {
        events[name] = value.clone();
    }
    let body = json!({
        "issuer": IDP, "jwks_uri": "https://idp.example/never-fetched", "horizon_seconds": 3600,
        "receivers": { "events": events },
    });
    let answer = plane.admin(Method::PUT, "/v1/issuers/idp").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// What the process shows of the receiver.
pub(crate) async fn state(plane: &ControlPlane) -> Value {
    plane.got("/v1/status").await["issuers"][0]["receivers"][0].clone()
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < PATIENCE, "it did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The issuer of the tokens.
pub(crate) const IDP: &str = "https://idp.example";
/// An event that revokes what a user has.
pub(crate) const DISABLED: &str =
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled";
const PATIENCE: Duration = Duration::from_secs(30);
