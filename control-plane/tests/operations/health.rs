//! `offswitch health`, as the health check of a container runs it.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::guard::{Guard, issuer_of};
use crate::support::process::{ControlPlane, Launched, run};
use crate::support::redis_server::{RedisServer, free_port};

fn asked(arguments: &[&str], listen: &str) -> Output {
    run(&[&["health"], arguments].concat(), &[("OFFSWITCH_LISTEN", listen)])
}

fn said(output: &Output) -> (Option<i32>, String) {
    (
        output.status.code(),
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat(),
    )
}

// O07: 0 only if it can serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_healthy_while_its_control_plane_can_serve() {
    let mut redis = RedisServer::start().await;
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    let listen = format!("127.0.0.1:{}", plane.port());
    let (code, text) = said(&asked(&[], &listen));
    assert_eq!((code, text), (Some(0), format!("{listen}/readyz answers 200\n")));
    assert_eq!(said(&asked(&[], &format!("0.0.0.0:{}", plane.port()))).0, Some(0));

    redis.kill();
    let begin = Instant::now();
    while said(&asked(&[], &listen)).0 != Some(1) {
        assert!(begin.elapsed() < Duration::from_secs(20), "it stays healthy without its store");
    }
    let answer = asked(&["--json"], &listen);
    let json: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (answer.status.code(), &json["healthy"], &json["status"]),
        (Some(1), &false.into(), &503.into())
    );
    // It runs, so it is not to be restarted.
    assert_eq!(said(&asked(&["--live"], &listen)).0, Some(0));

    let (code, text) = said(&asked(&["--live"], &format!("127.0.0.1:{}", free_port())));
    assert!(code == Some(1) && text.contains("refused"), "{text}");
    assert_eq!(said(&asked(&[], "nowhere")).0, Some(2));
}

// O07: over HTTPS, with the certificate of another name than the address that is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_with_https_is_asked_over_https() {
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new(folder.path(), "the authority").certificate("auth.example");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (certificate, key) = (text(&files.certificate), text(&files.key));
    let tls = [("OFFSWITCH_TLS_CERTIFICATE_FILE", certificate), ("OFFSWITCH_TLS_KEY_FILE", key)];
    let plane = Launched::start(folder.path(), |command| {
        command.envs(tls.clone());
    });
    let port = plane.url("").rsplit(':').next().unwrap().to_owned();
    let listen = ("OFFSWITCH_LISTEN", format!("127.0.0.1:{port}"));
    let environment: Vec<(&str, &str)> =
        tls.iter().chain([&listen]).map(|(name, value)| (*name, value.as_str())).collect();
    let begin = Instant::now();
    while run(&["health"], &environment).status.code() != Some(0) {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", plane.log());
    }
    assert_eq!(said(&asked(&[], &listen.1)).0, Some(1), "over HTTP nothing answers");
}

// O07: the guard is asked at the address for operators.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_is_asked_at_its_own_address() {
    let plane = ControlPlane::start().await;
    let guard = Guard::start(
        &plane,
        "gateway = \"nginx\"",
        &(issuer_of(&plane) + "[[routes]]\npaths = [\"/**\"]\n"),
    )
    .await;
    let config = guard.path("guard.toml");
    let arguments = ["--config", config.to_str().unwrap(), "health", "--guard"];
    let (code, text) = said(&run(&arguments, &[]));
    assert_eq!(
        (code, text),
        (Some(0), format!("127.0.0.1:{}/readyz answers 200\n", guard.admin_port()))
    );
}
