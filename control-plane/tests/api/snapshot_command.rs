//! `offswitch snapshot`, on made-up snapshots and on real ones.

use std::path::Path;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::process::ControlPlane;

fn snapshot(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_offswitch")).arg("snapshot").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn simulated(folder: &Path, tokens: &str, users: &str) -> (String, String) {
    let file = folder.join("base").to_str().unwrap().to_owned();
    let made = snapshot(&["simulate", "--tokens", tokens, "--users", users, "--out", &file]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let told = text(&made.stdout);
    let key = told.lines().find_map(|line| line.strip_prefix("--key ")).unwrap();
    (file, key.to_owned())
}

#[test]
fn a_simulated_base_is_verified_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = simulated(folder.path(), "5000", "70");
    let arguments = ["--jti", "token-17", "--jti", "token-5000", "--sub", "user-3", "--sub", "x"];
    let told = snapshot(&[&["inspect", &file, "--key", &key][..], &arguments].concat());
    assert!(told.status.success(), "{}", text(&told.stderr));
    let told = text(&told.stdout);
    for line in [
        "a base of \"https://simulated.invalid\", signed by a given key",
        "positions: after 1.0 up to 1.5070",
        "denied tokens and sessions: 5000",
        "users: 70",
        "token \"token-17\": denied",
        "token \"token-5000\": not denied",
        "user \"x\": not named",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} in {told}");
    }
    assert!(told.contains("user \"user-3\": off below version 4"), "{told}");
}

// What an operator may hand in by mistake: each has an answer in words and no success.
#[test]
fn whatever_is_no_snapshot_of_the_feed_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (file, key) = simulated(folder.path(), "100", "0");
    let (_, other) = simulated(folder.path().join(".").as_path(), "100", "0");
    let bytes = std::fs::read(&file).unwrap();
    let mut flipped = bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let wrong = folder.path().join("wrong").to_str().unwrap().to_owned();
    for (content, told) in [
        (&b""[..], "malformed"),
        (b"<!doctype html><title>502 Bad Gateway</title>", "not a snapshot"),
        (&bytes[..bytes.len() - 1], "wrong"),
        (&flipped, "wrong"),
    ] {
        std::fs::write(&wrong, content).unwrap();
        let answer = snapshot(&["inspect", &wrong, "--key", &other]);
        assert_eq!(answer.status.code(), Some(1));
        assert!(text(&answer.stderr).contains(told), "{told} in {}", text(&answer.stderr));
    }
    let answer = snapshot(&["inspect", &file, "--key", &key]);
    assert!(text(&answer.stderr).contains("no trusted key"), "{}", text(&answer.stderr));
    let folder = folder.path().to_str().unwrap();
    for (file, key) in [("nowhere", other.as_str()), (folder, &other), (&file, "short")] {
        let answer = snapshot(&["inspect", file, "--key", key]);
        assert_eq!(answer.status.code(), Some(1));
    }
    for arguments in [&["inspect", &file][..], &["simulate", "--tokens", "-1"], &["inspect"]] {
        assert_eq!(snapshot(arguments).status.code(), Some(2));
    }
}

#[tokio::test]
async fn what_a_control_plane_publishes_can_be_inspected() {
    let plane = ControlPlane::start().await;
    let get =
        |path: String| plane.request(Method::GET, &path).bearer_auth(plane.admin_key()).send();
    let keys: Value = get("/v1/keys".to_owned()).await.unwrap().json().await.unwrap();
    let key = keys["feed_public_keys"][0].as_str().unwrap();
    let first = plane.posted("/v1/revocations", &json!({ "sub": "alice" })).await;
    let position = first["position"].as_str().unwrap().to_owned();
    let more = plane.posted("/v1/revocations", &json!({ "session_id": "s-1" })).await;
    assert_ne!(more["position"], position.as_str());
    let delta = get(format!("/v1/feed?since={position}")).await.unwrap().bytes().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("delta");
    std::fs::write(&file, delta).unwrap();
    let file = file.to_str().unwrap();
    let told = snapshot(&["inspect", file, "--key", key, "--session", "s-1", "--session", "s-2"]);
    let told = text(&told.stdout);
    assert!(told.starts_with(&format!("a delta of {:?}", plane.issuer())), "{told}");
    assert!(told.contains("session \"s-1\": denied\nsession \"s-2\": not denied"), "{told}");
}
