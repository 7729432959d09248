//! What the process logs, and what it never logs.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::follower::peek;
use crate::support::oauth::text;
use crate::support::process::{ControlPlane, run};

fn events(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("not JSON: {line}"))
    });
    lines.filter(|line| line["target"] == "offswitch::audit").collect()
}

// D44, A07: one line for each revocation, key and session, with the actor and the place and without
// secrets; with the JSON format every line is JSON, the notice of the first key included.
#[tokio::test]
async fn each_change_is_one_json_line_without_tokens_secrets_and_subjects() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("OFFSWITCH_LOG_FORMAT", "json"), ("OFFSWITCH_LOG", "info")];
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path(), closed).unwrap();
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    assert!(!plane.log().contains("\"WARN\""), "there is no reason for a warning: {}", plane.log());
    let login = json!({ "sub": "subject-of-the-test" });
    let session = plane.posted("/v1/sessions", &login).await;
    let refreshed = plane.refreshed(text(&session, "refresh_token")).await;
    let spent = text(&session, "refresh_token");
    plane.refreshed(text(&refreshed, "refresh_token")).await;
    plane.not_refreshed(spent, "refresh_token_reused").await;
    let token = text(&session, "access_token");
    let revoked = plane.posted("/v1/revocations", &json!({ "token": token })).await;
    plane.posted("/v1/keys/rotate", &json!({})).await;
    plane.posted("/v1/red-button", &json!({})).await;
    let log = plane.log();
    let events = events(&log);
    let named =
        |name: &'static str| events.iter().filter(move |line| line["fields"]["event"] == name);
    let of_token = named("revoked").find(|line| line["fields"]["kinds"] == "token").unwrap();
    assert_eq!(of_token["fields"]["position"], revoked["position"]);
    assert!(of_token["fields"]["by"].as_str().unwrap().starts_with("key_"), "{of_token}");
    let of_callers = named("revoked").filter(|line| line["fields"]["kinds"] != "horizon");
    assert_eq!(of_callers.count(), 3, "a theft, a token, a red button: {events:?}");
    assert_eq!(named("session_opened").count(), 1);
    assert_eq!(named("session_refreshed").count(), 2);
    assert_eq!(named("refresh_refused").count(), 1);
    assert_eq!(named("api_key_created").count(), 1);
    let by: Vec<_> = named("token_key_added").map(|line| &line["fields"]["by"]).collect();
    assert_eq!(by, [&of_token["fields"]["by"]]);
    let of_session: Vec<_> = named("session_opened").chain(named("session_refreshed")).collect();
    assert_eq!(of_session[0]["fields"]["session"], of_session[1]["fields"]["session"]);
    let jti = peek(token)["jti"].as_str().unwrap().to_owned();
    for secret in [token, spent, "subject-of-the-test", plane.admin_key().trim(), &jti] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    assert!(!log.contains('\u{1b}'), "colours are only for terminals");
    for word in ["feed_public_keys", "admin.key", "/v1/feed", "\"page\""] {
        assert!(log.contains(word), "{word} is missing in the log of a start: {log}");
    }
}

#[test]
fn a_log_in_a_file_has_no_colours() {
    let environment = [("OFFSWITCH_DATA_DIR", "/dev/null/x"), ("OFFSWITCH_EDGE", "1")];
    let out = run(&["store", "replace-master-key"], &environment);
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(text.contains("OFFSWITCH_EDGE") && !text.contains('\u{1b}'), "{text}");
}
