//! Sessions from login to logout, with refreshes between.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now, peek};
use crate::support::oauth::{answer, text};
use crate::support::process::ControlPlane;

// RFC 9068 section 2.2: the claims of an access token after a refresh are those after the login.
#[tokio::test]
async fn a_refreshed_access_token_has_the_claims_of_the_first_one() {
    let plane = ControlPlane::start().await;
    let login = json!({ "sub": "alice", "scope": "read write", "audience": "shop",
                        "client_id": "app", "claims": { "tenant": "acme" } });
    let session = plane.posted("/v1/sessions", &login).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&session, "refresh_token")),
        ("client_id", "app"),
        ("scope", "read"),
    ];
    let (status, refreshed) = answer(plane.form("/oauth/token", &form).await).await;
    assert_eq!(status, StatusCode::OK, "{refreshed}");
    assert_eq!(
        (&refreshed["token_type"], &refreshed["expires_in"]),
        (&json!("Bearer"), &json!(600))
    );
    assert_eq!(refreshed["scope"], "read", "a refresh may request a smaller scope");
    assert_eq!(refreshed["session_id"], session["session_id"]);
    let (first, next) =
        (peek(text(&session, "access_token")), peek(text(&refreshed, "access_token")));
    for claim in ["iss", "sub", "aud", "client_id", "sid", "ver", "tenant"] {
        assert_eq!(first[claim], next[claim], "{claim}");
        assert_ne!(first[claim], Value::Null, "{claim}");
    }
    assert_eq!((&first["aud"], &first["client_id"]), (&json!("shop"), &json!("app")));
    assert_eq!((&first["scope"], &next["scope"]), (&json!("read write"), &json!("read")));
    assert_ne!(first["jti"], next["jti"]);
}

// F02, F03, F04, F06: a lost reply is repeated; once the successor was used, the old token is a
// theft.
#[tokio::test]
async fn a_spent_refresh_token_ends_its_session_and_no_other() {
    let plane = ControlPlane::start().await;
    let (phone, laptop) = (plane.login("alice").await, plane.login("alice").await);
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let stolen = text(&phone, "refresh_token");
    let first = plane.refreshed(stolen).await;
    let again = plane.refreshed(stolen).await;
    assert_eq!(first["refresh_token"], again["refresh_token"], "one successor");
    let second = plane.refreshed(text(&first, "refresh_token")).await;

    plane.not_refreshed(stolen, "refresh_token_reused").await;
    plane.not_refreshed(text(&second, "refresh_token"), "session_ended").await;
    plane.not_refreshed(stolen, "session_ended").await;
    follower.follow(&plane).await;
    for body in [&phone, &first, &again, &second] {
        assert_eq!(follower.judge(text(body, "access_token")), "revoked_session");
    }
    assert_eq!(follower.judge(text(&laptop, "access_token")), "valid");
    plane.refreshed(text(&laptop, "refresh_token")).await;

    let log = plane.got("/v1/revocations").await;
    assert_eq!(log["requests"].as_array().unwrap().len(), 1, "one theft, one record");
    assert_eq!(
        (&log["requests"][0]["by"], &log["requests"][0]["revocations"][0]["session_id"]),
        (&json!("offswitch"), &phone["session_id"])
    );
    assert!(plane.log().contains("a spent refresh token came back"));
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("offswitch_refresh_tokens_reused_total 1"), "{metrics}");
    assert!(metrics.contains("offswitch_refreshes_total{outcome=\"issued\"} 4"), "{metrics}");
}

// F06, F12: devices are listed newest first, and logged out one by one or all together.
#[tokio::test]
async fn each_device_is_listed_and_logged_out_alone_or_with_all() {
    let plane = ControlPlane::start().await;
    let mut sessions = Vec::new();
    for device in ["phone", "laptop", "tv"] {
        let login =
            json!({ "sub": "a lice", "device": device, "user_agent": "Agent/1", "ip": "::1" });
        sessions.push(plane.posted("/v1/sessions", &login).await);
    }
    let bystander = plane.login("bob").await;
    let rotated = plane.refreshed(text(&sessions[1], "refresh_token")).await;
    let listed = plane.devices("a%20lice").await;
    let names: Vec<&str> = listed.iter().map(|one| text(one, "device")).collect();
    assert_eq!(names, ["tv", "laptop", "phone"]);
    assert_eq!((&listed[1]["refreshes"], &listed[2]["refreshes"]), (&json!(1), &json!(0)));
    assert_eq!((&listed[0]["ip"], &listed[0]["user_agent"]), (&json!("::1"), &json!("Agent/1")));
    assert!(listed[1]["last_used_at"].as_u64().unwrap().abs_diff(now()) < 60);
    assert!(listed[1]["expires_at"].as_u64() > listed[1]["last_used_at"].as_u64());

    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let path = format!("/v1/users/a%20lice/sessions/{}", text(&sessions[1], "session_id"));
    let (status, ended) = plane.delete(&path).await;
    assert_eq!((status, &ended["durability"]), (StatusCode::OK, &json!("synced")));
    follower.follow(&plane).await;
    assert_eq!(follower.judge(text(&rotated, "access_token")), "revoked_session");
    assert_eq!(follower.judge(text(&sessions[0], "access_token")), "valid");
    plane.not_refreshed(text(&rotated, "refresh_token"), "session_ended").await;
    assert_eq!(plane.devices("a%20lice").await.len(), 2);

    assert_eq!(plane.delete("/v1/users/a%20lice/sessions").await.0, StatusCode::OK);
    // All in the same second: versions decide, not the clock.
    let after = plane.posted("/v1/sessions", &json!({ "sub": "a lice" })).await;
    follower.follow(&plane).await;
    for session in [&sessions[0], &sessions[2]] {
        plane.not_refreshed(text(session, "refresh_token"), "session_ended").await;
        assert_eq!(follower.judge(text(session, "access_token")), "revoked_user");
    }
    assert_eq!(follower.judge(text(&after, "access_token")), "valid");
    let after = plane.refreshed(text(&after, "refresh_token")).await;
    follower.follow(&plane).await;
    assert_eq!(follower.judge(text(&after, "access_token")), "valid");
    assert_eq!(plane.devices("a%20lice").await.len(), 1);
    plane.refreshed(text(&bystander, "refresh_token")).await;

    for wrong in ["nonsense", text(&bystander, "session_id"), &"x".repeat(5000)] {
        let (status, problem) = plane.delete(&format!("/v1/users/alice/sessions/{wrong}")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_session")));
    }
    let (status, problem) = plane.delete(&format!("/v1/users/{}/sessions", "x".repeat(257))).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_session")));
}

// F12: a login over the limit ends the longest-idle session, its access tokens included.
#[tokio::test]
async fn a_session_over_the_limit_ends_the_longest_idle_one() {
    let folder = tempfile::tempdir().unwrap();
    let plane =
        ControlPlane::start_in(folder.path(), &[("OFFSWITCH_SESSIONS_PER_USER", "2")]).await;
    let oldest = plane.login("alice").await;
    let other = plane.login("bob").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let idle = plane.login("alice").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let oldest = plane.refreshed(text(&oldest, "refresh_token")).await;
    let newest = plane.login("alice").await;
    plane.not_refreshed(text(&idle, "refresh_token"), "session_ended").await;
    plane.refreshed(text(&oldest, "refresh_token")).await;
    plane.refreshed(text(&newest, "refresh_token")).await;
    plane.refreshed(text(&other, "refresh_token")).await;
    let follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(text(&idle, "access_token")), "revoked_session");
    assert_eq!(follower.judge(text(&newest, "access_token")), "valid");
    assert_eq!(plane.devices("alice").await.len(), 2);
}

// F08: a session issues nothing after its absolute end, and no access token outlives it.
#[tokio::test]
async fn nothing_of_a_session_outlives_its_absolute_end() {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("OFFSWITCH_SESSION_ABSOLUTE_SECONDS", "3")];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let session = plane.login("alice").await;
    let end = session["session_expires_at"].as_u64().unwrap();
    assert!(session["expires_at"].as_u64().unwrap() <= end);
    assert!(end <= now() + 3);
    while now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    plane.not_refreshed(text(&session, "refresh_token"), "session_ended").await;
    assert_eq!(plane.devices("alice").await.len(), 0);
}

// A11: the same request with the same key opens one session, also if the first answer was lost.
#[tokio::test]
async fn a_login_repeated_with_its_key_opens_one_session() {
    let plane = ControlPlane::start().await;
    let send = async |body: Value| {
        let request = plane.admin(Method::POST, "/v1/sessions").json(&body);
        answer(request.header("idempotency-key", "login-1").send().await.unwrap()).await
    };
    let (_, first) = send(json!({ "sub": "alice" })).await;
    let (_, again) = send(json!({ "sub": "alice" })).await;
    assert_eq!(first["session_id"], again["session_id"]);
    assert_eq!(first["refresh_token"], again["refresh_token"]);
    assert_eq!(plane.devices("alice").await.len(), 1);
    let (status, reused) = send(json!({ "sub": "alice", "device": "tv" })).await;
    assert_eq!((status.as_u16(), &reused["code"]), (422, &json!("idempotency_key_reused")));
    let refreshed = plane.refreshed(text(&first, "refresh_token")).await;
    let (_, again) = send(json!({ "sub": "alice" })).await;
    assert_eq!(again["refresh_token"], refreshed["refresh_token"], "the current one");
    plane.delete("/v1/users/alice/sessions").await;
    let (status, over) = send(json!({ "sub": "alice" })).await;
    assert_eq!((status, &over["code"]), (StatusCode::CONFLICT, &json!("session_ended")));
}

// The denylist of refresh tokens: only a refresh reads it, and verifiers do not get it.
#[tokio::test]
async fn a_denied_refresh_token_leaves_the_access_token_alive() {
    let plane = ControlPlane::start().await;
    let session = plane.login("alice").await;
    let other = plane.login("alice").await;
    plane.refreshed(text(&other, "refresh_token")).await;
    let denied = json!({ "refresh_token": session["refresh_token"], "reason": "phased out" });
    plane.posted("/v1/revocations", &denied).await;
    plane.not_refreshed(text(&session, "refresh_token"), "session_ended").await;
    let follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(text(&session, "access_token")), "valid");

    let page = plane.got("/v1/revocations?kind=refresh").await;
    assert_eq!(page["next"], Value::Null);
    let mut entries = page["denied"].as_array().unwrap().clone();
    entries.sort_by_key(|entry| text(entry, "kind").to_owned());
    assert_eq!(entries.len(), 2);
    assert_eq!(
        (&entries[0]["kind"], &entries[0]["reason"]),
        (&json!("revoked"), &json!("phased out"))
    );
    assert_eq!(entries[0]["session_id"], session["session_id"]);
    assert!(text(&entries[0], "by").starts_with("key_"));
    assert_eq!((&entries[1]["kind"], &entries[1]["spent"]), (&json!("spent"), &json!(1)));
    assert!(entries[1]["until"].as_u64().unwrap() > now() + 86_400);
    let log = plane.got("/v1/revocations").await;
    assert_eq!(log["requests"][0]["revocations"][0]["kind"], "refresh");
    for wrong in [
        "kind=other",
        "kind=refresh&limit=5",
        "kind=refresh&cursor=%00",
        "kind=refresh&cursor=abc",
        "cursor=user:1",
    ] {
        let listed = plane.got(&format!("/v1/revocations?{wrong}")).await;
        assert_eq!(listed["code"], "invalid_query", "{wrong}");
    }
}

// A hard red button makes every user log in again, a soft one no user. A dry run reports which
// sessions it would affect.
#[tokio::test]
async fn the_red_button_ends_all_sessions_or_lets_them_refresh() {
    let plane = ControlPlane::start().await;
    let (one, two) = (plane.login("alice").await, plane.login("alice").await);
    let other = plane.login("bob").await;
    plane.posted("/v1/revocations", &json!({ "session_id": two["session_id"] })).await;
    let dry = plane.posted("/v1/red-button", &json!({ "dry_run": true })).await;
    assert_eq!(dry["reach"], json!({ "users": 2, "sessions": 2, "keys": 1, "tokens": 2 }));
    plane.refreshed(text(&other, "refresh_token")).await;

    let soft = plane.posted("/v1/red-button", &json!({ "sessions": "keep" })).await;
    assert_eq!(soft["sessions"], "keep");
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(text(&one, "access_token")), "unknown_key");
    let refreshed = plane.refreshed(text(&one, "refresh_token")).await;
    assert_eq!(follower.judge(text(&refreshed, "access_token")), "valid");

    let send = async || {
        let request = plane.admin(Method::POST, "/v1/red-button").json(&json!({ "reason": "x" }));
        answer(request.header("idempotency-key", "press").send().await.unwrap()).await.1
    };
    let hard = send().await;
    assert_eq!(hard["sessions"], "end");
    plane.not_refreshed(text(&refreshed, "refresh_token"), "session_ended").await;
    plane.not_refreshed(text(&other, "refresh_token"), "session_ended").await;
    let after = plane.login("alice").await;
    let after = plane.refreshed(text(&after, "refresh_token")).await;
    // A repeated request has no second effect, and returns the first result.
    let again = send().await;
    for member in ["dead_kids", "epoch", "position", "sessions", "active_kid"] {
        assert_eq!(hard[member], again[member], "{member}");
    }
    follower.fetch_keys(&plane, &plane.issuer()).await;
    follower.follow(&plane).await;
    assert_eq!(follower.judge(text(&after, "access_token")), "valid");
    let dry = plane.posted("/v1/red-button", &json!({ "dry_run": true })).await;
    assert_eq!(dry["reach"]["sessions"], 1);
    let page = plane.got("/v1/revocations?kind=refresh").await;
    let kinds = page["denied"].as_array().unwrap().iter().map(|entry| text(entry, "kind"));
    assert_eq!(kinds.filter(|kind| *kind == "spent").count(), 1, "{page}");
}

#[tokio::test]
async fn a_malformed_login_is_refused() {
    let plane = ControlPlane::start().await;
    for (login, code) in [
        (json!({ "sub": "a", "device": "" }), "invalid_session"),
        (json!({ "sub": "a", "device": "x".repeat(129) }), "invalid_session"),
        (json!({ "sub": "a", "user_agent": "x".repeat(513) }), "invalid_session"),
        (json!({ "sub": "a", "ip": "localhost" }), "invalid_session"),
        (json!({ "sub": "a", "client_id": "" }), "invalid_session"),
        (json!({ "sub": "a", "scope": "a  b" }), "invalid_session"),
        (json!({ "sub": "a", "scope": "a\"b" }), "invalid_session"),
        (json!({ "sub": "a", "claims": { "client_id": "x" } }), "invalid_session"),
        (json!({ "sub": "a", "handover": "yes" }), "invalid_body"),
    ] {
        let (status, problem) = answer(plane.post("/v1/sessions", &login).await).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{login}");
    }
    assert_eq!(plane.devices("a").await.len(), 0);
}
