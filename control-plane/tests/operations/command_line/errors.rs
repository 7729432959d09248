//! Each way in which a command fails: its code, on the standard error, and its exit code.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};

use super::{asked, run_with};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

/// Runs it for people and for programs: the code is the same, and nothing is on the standard output.
fn failed(arguments: &[&str], environment: &[(&str, &str)], input: &str) -> (String, Option<i32>) {
    let text = run_with(arguments, environment, input);
    let all = [arguments, &["--json"]].concat();
    let ended = run_with(&all, environment, input);
    assert_eq!((text.out.as_str(), ended.out.as_str()), ("", ""), "{arguments:?}");
    assert_eq!(text.code, ended.code, "{arguments:?}: {}", text.err);
    let json: Value = serde_json::from_str(&ended.err).unwrap_or_else(|_| panic!("{}", ended.err));
    let code = json["code"].as_str().unwrap().to_owned();
    // What clap says about a wrong command line has its own form.
    let begins = text.err.starts_with(&format!("offswitch: {code}: "));
    assert!(begins || code == "wrong_usage", "{arguments:?}: {}", text.err);
    assert!(!json["detail"].as_str().unwrap().is_empty(), "{json}");
    assert!(!text.err.contains("osk_") && !ended.err.contains("osk_"), "{}", text.err);
    (code, ended.code)
}

// O07: nothing is asked if the command line, the key or a file is wrong.
#[test]
fn a_command_that_cannot_ask_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good", "osk_x\n", 0o600);
    let (writable, large) = (file("w", "osk_x", 0o666), file("l", &"x".repeat(1025), 0o600));
    let (empty, not_json) = (file("e", "", 0o600), file("n", "{\"a\":", 0o600));
    // Nothing listens there.
    let url = ["--url", "http://127.0.0.1:1"];
    let with = |more: &[&'static str]| [&url[..], more].concat();
    let key = [("OFFSWITCH_API_KEY", "osk_x")];
    for (arguments, environment, code, exit) in [
        (vec!["status"], &key[..], "wrong_usage", 2),
        (vec!["status", "--url", "auth.example"], &key, "wrong_usage", 2),
        (vec!["status", "--url", "http://u:p@auth.example"], &key, "wrong_usage", 2),
        (with(&["status"]), &[], "wrong_usage", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY", " ")], "wrong_usage", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY", "a\nb")], "wrong_usage", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY_FILE", "/nowhere")], "file_unreadable", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY_FILE", &writable)], "file_writable", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY_FILE", &large)], "file_too_large", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY_FILE", &empty)], "wrong_usage", 2),
        (with(&["status"]), &[("OFFSWITCH_API_KEY_FILE", &good)], "control_plane_unreachable", 3),
        (with(&["revoke", "all"]), &key, "confirmation_needed", 2),
        (with(&["revoke", "kid", "k"]), &key, "confirmation_needed", 2),
        (with(&["revoke", "claims", "[]"]), &key, "invalid_input", 2),
        (with(&["revoke", "jti"]), &key, "wrong_usage", 2),
        (with(&["revoke", "token"]), &key, "invalid_input", 2),
        (vec!["verify", &empty], &key, "invalid_input", 2),
        (vec!["verify", "/nowhere"], &key, "file_unreadable", 2),
        (vec!["issuers", "put", "idp", &not_json, url[0], url[1]], &key, "invalid_input", 2),
        (vec!["api-keys", "create", "--name", "x", "--scope", "all"], &key, "wrong_usage", 2),
        (vec!["doctor"], &key, "wrong_usage", 2),
        (
            vec!["doctor", "--url", "http://127.0.0.1:1", "--key-file", "/x"],
            &[],
            "file_unreadable",
            2,
        ),
        (vec!["no-such-command"], &[], "wrong_usage", 2),
    ] {
        // `--url` of a group may be given before its command.
        let arguments = match arguments.as_slice() {
            [name, address, group, rest @ ..] if *name == "--url" => {
                [&[*group, name, address], rest].concat()
            }
            all => all.to_vec(),
        };
        let found = failed(&arguments, environment, "");
        assert_eq!(found, (code.to_owned(), Some(exit)), "{arguments:?}");
    }
    let not_utf8 = std::os::unix::ffi::OsStrExt::from_bytes(b"osk_\xff");
    let not_utf8: &std::ffi::OsStr = not_utf8;
    let output = crate::support::process::command()
        .args(["status", "--url", "http://127.0.0.1:1"])
        .env("OFFSWITCH_API_KEY", not_utf8)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("is not UTF-8"), "{text}");
}

// O07: a refusal has the code of the API, and a revocation that would do nothing is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_the_control_plane_has_its_code() {
    let plane = ControlPlane::start().await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let feed = plane.got("/v1/keys").await["feed_keys"][0]["id"].as_str().unwrap().to_owned();
    let admin = plane.got("/v1/status").await["key"]["id"].as_str().unwrap().to_owned();
    let key = json!({ "name": "few", "scopes": ["keys:read"] });
    let few = plane.posted("/v1/api-keys", &key).await["key"].as_str().unwrap().to_owned();
    let url = format!("http://127.0.0.1:{}", plane.port());
    let all = plane.admin_key();
    let token = session["access_token"].as_str().unwrap();
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let (refused, unknown) = ("invalid_revocation", "unknown_issuer_name");
    for (arguments, input, key, code) in [
        (&["status"][..], "", "osk_unknown", "unknown_api_key"),
        (&["session", "list", "alice"], "", &few, "missing_scope"),
        (&["revoke", "user", "alice"], "", &few, "missing_scope"),
        (&["revoke", "session", "no-such"], "", &all, "unknown_session"),
        (&["revoke", "jti", "a", "--issuer", "https://idp.example"], "", &all, "unknown_issuer"),
        (&["revoke", "jti", "a", "--exp", "1"], "", &all, "already_expired"),
        (&["revoke", "kid", "no-such", "--yes"], "", &all, refused),
        (&["revoke", "token"], &forged, &all, refused),
        (&["revoke", "user", ""], "", &all, refused),
        (&["revoke", "all", "--yes", "--issuer", "x"], "", &all, "unknown_issuer"),
        (&["session", "logout", "alice", "no-such"], "", &all, "unknown_session"),
        (&["issuers", "remove", "no-such"], "", &all, unknown),
        (&["issuers", "put", "idp"], r#"{"colour":1}"#, &all, "invalid_body"),
        (&["issuers", "put", "idp"], "{}", &all, "invalid_issuer"),
        (&["api-keys", "delete", "key_x"], "", &all, "unknown_api_key_id"),
        (&["api-keys", "delete", &admin], "", &all, "last_api_key"),
        (&["keys", "drop-feed", "0"], "", &all, "unknown_feed_key"),
        (&["keys", "drop-feed", &feed], "", &all, "last_feed_key"),
    ] {
        let environment = [("OFFSWITCH_URL", url.as_str()), ("OFFSWITCH_API_KEY", key)];
        let found = failed(arguments, &environment, input);
        assert_eq!(found, (code.to_owned(), Some(1)), "{arguments:?}");
    }
    let ended = asked(&plane, &["revoke", "session", "no-such", "--json"], "").await;
    let refusal: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!((&refusal["status"], &refusal["pointer"]), (&json!(422), &json!("/session_id")));
    assert_eq!(plane.devices("alice").await.len(), 1, "nothing was revoked");
}

// O07: without a store nothing is known: neither done nor refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_without_its_store_leaves_it_undecided() {
    let (redis, folder) = (RedisServer::start().await, tempfile::tempdir().unwrap());
    let store = redis.url();
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &store)]).await;
    drop(redis);
    let ended = asked(&plane, &["revoke", "user", "alice"], "").await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(3), ""), "{}", ended.err);
    assert!(ended.err.starts_with("offswitch: store_unavailable: "), "{}", ended.err);
}

// O07: another server at the address is not taken for a control plane.
#[test]
fn an_answer_of_another_server_is_not_understood() {
    for (status, body, code) in [
        ("404 Not Found", "<html>osk_secret</html>", "unexpected_answer"),
        ("200 OK", "<html>", "unexpected_answer"),
        ("302 Found", "", "unexpected_answer"),
        ("400 Bad Request", r#"{"code":"\u001b[2J","detail":"x"}"#, "unexpected_answer"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let serving = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut peer, _) = listener.accept().unwrap();
                peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let _ = peer.read(&mut [0; 4096]);
                peer.write_all(answer.as_bytes()).unwrap();
            }
        });
        let environment = [("OFFSWITCH_URL", url.as_str()), ("OFFSWITCH_API_KEY", "osk_x")];
        let found = failed(&["keys", "list"], &environment, "");
        assert_eq!(found, (code.to_owned(), Some(3)), "{status}");
        serving.join().unwrap();
    }
}
