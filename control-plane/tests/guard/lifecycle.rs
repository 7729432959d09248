//! Starting, reading the configuration again, stopping, and Unix sockets.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

use crate::support::guard::{Guard, checked, feed_of, issuer_of, session};
use crate::support::process::{ControlPlane, run};
use crate::support::redis_server::free_port;

const ROUTES: &str = "[[routes]]\npaths = [\"/a\"]\n";
const OTHER_ROUTES: &str = "[[routes]]\npaths = [\"/b\"]\n";

#[tokio::test]
async fn a_configuration_is_read_again_at_sighup_and_one_with_problems_changes_nothing() {
    let plane = ControlPlane::start().await;
    let issuer = issuer_of(&plane);
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &(issuer.clone() + ROUTES)).await;
    let token = session(&plane, "ann", "read").await.1;
    guard.until_code("/a", &token, "valid").await;
    guard.reload("gateway = \"nginx\"", &(issuer.clone() + OTHER_ROUTES));
    guard.until_code("/b", &token, "valid").await;
    assert_eq!(guard.asked("GET", "/a", &token).await.1, "no_route");

    let wrong = "[[routes]]\npaths = [\"c\"]\nscopes = [\"\"]\n[[headers]]\nname = \"Host\"\nclaim = \"sub\"\n";
    guard.reload("gateway = \"nginx\"\ncolour = \"red\"", &(issuer.clone() + wrong));
    let refused = |log: &str| log.matches("the configuration stays as it is").count();
    let begin = Instant::now();
    while refused(&guard.log()) < 4 {
        assert!(begin.elapsed() < Duration::from_secs(10), "{}", guard.log());
        sleep(Duration::from_millis(20)).await;
    }
    for part in ["colour: ", "routes: 0: paths", "routes: 0: scopes", "headers: 0: name"] {
        assert!(guard.log().contains(part), "{part} in {}", guard.log());
    }
    assert_eq!(guard.asked("GET", "/b", &token).await.1, "valid");
    // Another audience needs another verifier; it replaces the one before once it is ready.
    let other = issuer.replace("\"api\"", "\"elsewhere\"");
    guard.reload("gateway = \"nginx\"", &(other + OTHER_ROUTES));
    guard.until_code("/b", &token, "wrong_audience").await;
    let metrics = guard.admin("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("offswitch_guard_reloads_total{outcome=\"refused\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_guard_stops_when_it_is_asked_to_and_answers_what_is_open() {
    let plane = ControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let settings = format!("gateway = \"nginx\"\ndata_dir = \"{}\"", data_dir.display());
    let tables = issuer_of(&plane) + ROUTES;
    let mut guard = Guard::start(&plane, &settings, &tables).await;
    let token = session(&plane, "ann", "read").await.1;
    guard.until_code("/a", &token, "valid").await;
    guard.signal("TERM");
    assert!(guard.until_stopped().await.success(), "{}", guard.log());
    // What was followed is there after a restart, also if the feed does not answer.
    let feed = feed_of(&plane).await;
    let nowhere = feed.replace("/v1/feed\"", "/v1/none\"");
    let again = Guard::launch(&nowhere, &settings, &tables);
    again.until_code("/a", &token, "valid").await;
}

#[tokio::test]
async fn a_unix_socket_is_for_those_its_mode_lets_in_and_goes_with_the_guard() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let token = session(&plane, "ann", "read").await.1;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("guard.sock");
    // What a process left behind that was killed.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let feed = feed_of(&plane).await;
    let config = folder.path().join("guard.toml");
    let admin_port = free_port();
    let text = format!(
        "gateway = \"nginx\"\nlisten = \"unix:{}\"\nsocket_mode = \"600\"\n\
         admin_listen = \"127.0.0.1:{admin_port}\"\n{feed}\n{tables}",
        socket.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut process = crate::support::process::command()
        .args(["guard", "--config", config.to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let fields = format!(
        "host: a\r\nx-original-method: GET\r\nx-original-uri: /a\r\nauthorization: Bearer {token}\r\n"
    );
    let begin = Instant::now();
    loop {
        if let Ok(mut connection) = UnixStream::connect(&socket).await {
            let request = format!("GET /auth HTTP/1.1\r\n{fields}\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 1024];
            let length = connection.read(&mut answer).await.unwrap();
            if answer[..length].starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "no answer");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // A second one does not take the socket away.
    let second = run(&["guard", "--config", config.to_str().unwrap()], &[]);
    assert!(!second.status.success());
    assert!(socket.exists());
    let id = process.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert!(process.wait().unwrap().success());
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_check_says_what_is_wrong_and_serves_nothing() {
    let plane = ControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("guard.toml");
    let (listen, admin) = (free_port(), free_port());
    let places = format!(
        "gateway = \"nginx\"\nlisten = \"127.0.0.1:{listen}\"\nadmin_listen = \"127.0.0.1:{admin}\"\n"
    );
    let feed = feed_of(&plane).await;
    let good = format!("{places}{feed}{}{ROUTES}", issuer_of(&plane));
    for (text, code, parts) in [
        (good.clone(), 0, &["feed: ok: it is at", "keys: ok", "the guard would start"][..]),
        (good.replace("/v1/feed\"", "/v1/none\""), 1, &["feed: PROBLEM: ", "would not start"]),
        (good.replace("jwks.json", "none.json"), 1, &["keys: PROBLEM: "]),
        (
            good.replace("paths = [\"/a\"]", "paths = [\"/a\"]\nmethods = [\"get\"]"),
            2,
            &["routes: 0: methods: "],
        ),
        (
            good.replace("gateway = \"nginx\"", "gateway = \"apache\"\ncolor = 1"),
            2,
            &["gateway: ", "color: "],
        ),
        (places.replace("gateway = \"nginx\"", ""), 2, &["feed_urls: ", "feed_public_keys: "]),
    ] {
        let said = checked(&config, &text, code);
        for part in parts {
            assert!(said.contains(part), "{part} in {said}");
        }
        assert!(!said.contains(&plane.admin_key()), "{said}");
        let output =
            run(&["guard", "--check", "--json", "--config", config.to_str().unwrap()], &[]);
        assert_eq!(output.status.code(), Some(code));
        let said = if code == 2 { output.stderr } else { output.stdout };
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        match code {
            2 => assert_eq!(said["code"], "wrong_usage"),
            code => assert_eq!(said["would_start"], code == 0, "{said}"),
        }
    }
}
