//! The OAuth endpoints: RFC 6749 section 6, RFC 7009, RFC 7662, RFC 8414; and the handover.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now};
use crate::support::oauth::{answer, text};
use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

#[tokio::test]
async fn a_malformed_refresh_is_refused_as_the_rfc_says() {
    let plane = ControlPlane::start().await;
    let session = plane.login("alice").await;
    let good = text(&session, "refresh_token");
    let last = if good.ends_with('A') { 'B' } else { 'A' };
    let changed = format!("{}{last}", &good[..83]);
    let grant = ("grant_type", "refresh_token");
    let bound = json!({ "sub": "bob", "client_id": "app" });
    let bound = plane.posted("/v1/sessions", &bound).await;
    let bound = text(&bound, "refresh_token");
    let access = text(&session, "access_token");
    for (fields, error, code) in [
        (vec![], "invalid_request", "missing_grant_type"),
        (vec![grant], "invalid_request", "missing_refresh_token"),
        (vec![grant, ("refresh_token", "")], "invalid_request", "missing_refresh_token"),
        (vec![("grant_type", "password")], "unsupported_grant_type", "unsupported_grant_type"),
        (vec![grant, grant], "invalid_request", "repeated_parameter"),
        (vec![grant, ("refresh_token", "x")], "invalid_grant", "unknown_refresh_token"),
        (vec![grant, ("refresh_token", &changed)], "invalid_grant", "unknown_refresh_token"),
        (vec![grant, ("refresh_token", access)], "invalid_grant", "unknown_refresh_token"),
        (vec![grant, ("refresh_token", bound)], "invalid_grant", "wrong_client"),
        (
            vec![grant, ("refresh_token", bound), ("client_id", "b")],
            "invalid_grant",
            "wrong_client",
        ),
        (vec![grant, ("refresh_token", good), ("scope", "admin")], "invalid_scope", "wrong_scope"),
        (vec![grant, ("refresh_token", good), ("scope", " ")], "invalid_scope", "wrong_scope"),
    ] {
        let response = plane.form("/oauth/token", &fields).await;
        assert_eq!(response.headers()["cache-control"], "no-store");
        let expected = json!({ "error": error, "error_description": code });
        assert_eq!(answer(response).await, (StatusCode::BAD_REQUEST, expected), "{fields:?}");
    }
    let json = plane.request(Method::POST, "/oauth/token").json(&json!({ "grant_type": "x" }));
    let (status, body) = answer(json.send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["error"]), (400, &json!("invalid_request")));
    let large = "x".repeat(21_000);
    let (status, body) = plane.refresh(&large).await;
    assert_eq!((status.as_u16(), &body["error_description"]), (400, &json!("body_too_large")));
    // None of these requests has spent a token.
    let (status, _) = plane.refresh(good).await;
    assert_eq!(status, StatusCode::OK);
}

// RFC 7009: both kinds of token, with any hint; unknown tokens are no error.
#[tokio::test]
async fn the_holder_of_a_token_may_revoke_it() {
    let plane = ControlPlane::start().await;
    let (one, two) = (plane.login("alice").await, plane.login("alice").await);
    let spent = text(&two, "refresh_token");
    let next = plane.refreshed(spent).await;
    for hint in ["access_token", "refresh_token", "nonsense"] {
        let fields = [("token", text(&one, "access_token")), ("token_type_hint", hint)];
        assert_eq!(plane.form("/oauth/revoke", &fields).await.status(), StatusCode::OK);
    }
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    assert_eq!(follower.judge(text(&one, "access_token")), "revoked_token");
    let one = plane.refreshed(text(&one, "refresh_token")).await;
    // The holder of a spent refresh token may still revoke it: the session ends, as requested.
    for _ in 0..2 {
        assert_eq!(plane.form("/oauth/revoke", &[("token", spent)]).await.status(), StatusCode::OK);
    }
    plane.not_refreshed(text(&next, "refresh_token"), "session_ended").await;
    follower.follow(&plane).await;
    assert_eq!(follower.judge(text(&next, "access_token")), "revoked_session");
    assert_eq!(follower.judge(text(&one, "access_token")), "valid");
    let log = plane.got("/v1/revocations").await;
    assert_eq!(log["requests"].as_array().unwrap().len(), 2, "repeating adds nothing");

    let foreign = "eyJhbGciOiJub25lIn0.e30.";
    for unknown in ["x", foreign, "osr_AAAA", &"x".repeat(15_000)] {
        let answered = plane.form("/oauth/revoke", &[("token", unknown)]).await;
        assert_eq!(answered.status(), StatusCode::OK);
        assert_eq!(answered.text().await.unwrap(), "");
    }
    let (status, body) = answer(plane.form("/oauth/revoke", &[]).await).await;
    assert_eq!((status.as_u16(), &body["error"]), (400, &json!("invalid_request")));
    assert_eq!(plane.got("/v1/revocations").await["requests"].as_array().unwrap().len(), 2);
}

// The holder of one genuine token must not fill the log: a client that refreshes only to revoke is
// logged out in the end.
#[tokio::test]
async fn revoking_many_tokens_of_one_session_ends_the_session() {
    let plane = ControlPlane::start().await;
    let session = plane.login("mallory").await;
    let token = text(&session, "refresh_token");
    let mut rounds = 0;
    loop {
        let (status, body) = plane.refresh(token).await;
        if status != StatusCode::OK {
            assert_eq!(body["error_description"], "session_ended");
            break;
        }
        let fields = [("token", text(&body, "access_token"))];
        assert_eq!(plane.form("/oauth/revoke", &fields).await.status(), StatusCode::OK);
        rounds += 1;
        assert!(rounds < 20);
    }
    assert!(rounds >= 2, "one token can be revoked without ending the session");
    let log = plane.got("/v1/revocations?limit=100").await;
    assert!(log["requests"].as_array().unwrap().len() <= 5, "{log}");
}

// The server does not wait for a body that arrives at one byte per second.
#[tokio::test]
async fn a_form_that_never_ends_times_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let plane = ControlPlane::start().await;
    let mut slow = tokio::net::TcpStream::connect(("127.0.0.1", plane.port())).await.unwrap();
    let head = "POST /oauth/token HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\
                content-type: application/x-www-form-urlencoded\r\n\r\na";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let wait = std::time::Duration::from_secs(60);
    let length = tokio::time::timeout(wait, slow.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.contains("body_too_slow"), "{answer}");
}

// RFC 7662: the verdict of the edge, without delay, and no details about a token that is not valid.
#[tokio::test]
async fn introspection_gives_the_verdict_that_the_edge_gives() {
    let plane = ControlPlane::start().await;
    let login = json!({ "sub": "alice", "scope": "read", "claims": { "tenant": "acme" } });
    let session = plane.posted("/v1/sessions", &login).await;
    let access = text(&session, "access_token");
    let (code, found) = plane.introspected(access).await;
    assert_eq!(code, "valid");
    for (member, value) in [
        ("active", json!(true)),
        ("token_type", json!("Bearer")),
        ("sub", json!("alice")),
        ("scope", json!("read")),
        ("tenant", json!("acme")),
        ("aud", json!("api")),
        ("iss", json!(plane.issuer())),
        ("exp", session["expires_at"].clone()),
        ("sid", session["session_id"].clone()),
    ] {
        assert_eq!(found[member], value, "{member}");
    }
    let (code, found) = plane.introspected(text(&session, "refresh_token")).await;
    assert_eq!((code.as_str(), &found["token_type"]), ("valid", &json!("refresh_token")));
    assert_eq!((&found["active"], &found["sub"]), (&json!(true), &json!("alice")));

    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let mut tokens = vec![access.to_owned(), "nonsense".to_owned(), format!("{access}A")];
    for revocation in ["token", "session_id", "sub"] {
        let session = plane.login(revocation).await;
        let token = text(&session, "access_token").to_owned();
        let value = match revocation {
            "token" => json!(token),
            "session_id" => session["session_id"].clone(),
            _ => json!(revocation),
        };
        plane.posted("/v1/revocations", &json!({ revocation: value })).await;
        // Without delay, at each process: introspection reads the log first.
        assert!(plane.introspected(&token).await.0.starts_with("revoked_"));
        tokens.push(token);
    }
    plane.posted("/v1/red-button", &json!({})).await;
    tokens.push(text(&plane.login("after").await, "access_token").to_owned());
    follower.fetch_keys(&plane, &plane.issuer()).await;
    follower.follow(&plane).await;
    let mut codes = Vec::new();
    for token in &tokens {
        let (code, found) = plane.introspected(token).await;
        assert_eq!(code, follower.judge(token));
        if code != "valid" {
            assert_eq!(found, json!({ "active": false }));
        }
        codes.push(code);
    }
    assert_eq!(codes.iter().filter(|code| *code == "valid").count(), 1, "{codes:?}");
    let (code, found) = plane.introspected(text(&session, "refresh_token")).await;
    assert_eq!((code.as_str(), found), ("session_ended", json!({ "active": false })));
    let anonymous = plane.form("/oauth/introspect", &[("token", access)]).await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
}

// RFC 8414: the endpoints in the metadata exist.
#[tokio::test]
async fn the_metadata_names_the_endpoints() {
    let plane = ControlPlane::start().await;
    let metadata = plane.got("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata["issuer"], plane.issuer());
    for name in ["token_endpoint", "revocation_endpoint", "introspection_endpoint", "jwks_uri"] {
        let path = text(&metadata, name).strip_prefix(&plane.issuer()).unwrap();
        let answered = plane.request(Method::OPTIONS, path).send().await.unwrap().status();
        assert_ne!(answered, StatusCode::NOT_FOUND, "{name}");
    }
    assert_eq!(metadata["grant_types_supported"], json!(["refresh_token"]));
}

// The code works once, the handle as long as the session; the client never gets a token.
#[tokio::test]
async fn a_session_is_handed_over_to_the_edge_once() {
    let plane = ControlPlane::start().await;
    let offer = plane.posted("/v1/sessions", &json!({ "sub": "alice", "handover": true })).await;
    assert_eq!(offer.as_object().unwrap().len(), 3, "{offer}");
    let code = json!({ "code": offer["handover_code"] });
    let login = plane.posted("/v1/handover/login", &code).await;
    let handle = json!({ "handle": login["handle"] });
    assert_eq!(login["session_id"], offer["session_id"]);
    assert!(login["session_expires_at"].as_u64().unwrap() > now() + 86_400);
    let (status, problem) = answer(plane.post("/v1/handover/login", &code).await).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("invalid_code")));
    let token = plane.posted("/v1/handover/token", &handle).await;
    assert_eq!(token.get("handle"), None);
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    for body in [&login, &token] {
        assert_eq!(follower.judge(text(body, "access_token")), "valid");
    }
    assert_eq!(plane.devices("alice").await.len(), 1);
    plane.posted("/v1/handover/logout", &handle).await;
    plane.posted("/v1/handover/logout", &handle).await;
    let (status, problem) = answer(plane.post("/v1/handover/token", &handle).await).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("session_ended")));
    follower.follow(&plane).await;
    assert_eq!(follower.judge(text(&token, "access_token")), "revoked_session");
}

// F09: each credential is accepted only at its own endpoint.
#[tokio::test]
async fn no_credential_is_accepted_in_place_of_another() {
    let plane = ControlPlane::start().await;
    let session = plane.login("alice").await;
    let offer = plane.posted("/v1/sessions", &json!({ "sub": "alice", "handover": true })).await;
    let other = plane.posted("/v1/sessions", &json!({ "sub": "alice", "handover": true })).await;
    let edge = json!({ "code": other["handover_code"] });
    let edge = plane.posted("/v1/handover/login", &edge).await;
    let credentials = [
        ("refresh", text(&session, "refresh_token")),
        ("access", text(&session, "access_token")),
        ("code", text(&offer, "handover_code")),
        ("handle", text(&edge, "handle")),
    ];
    let follower = Follower::start(&plane, &plane.issuer()).await;
    for (kind, credential) in credentials {
        if kind != "refresh" {
            plane.not_refreshed(credential, "unknown_refresh_token").await;
        }
        if kind != "access" {
            assert_eq!(follower.judge(credential), "malformed");
            let (status, _) =
                answer(plane.post("/v1/revocations", &json!({ "token": credential })).await).await;
            assert_eq!(status, StatusCode::BAD_REQUEST);
        }
        if kind != "code" {
            let body = json!({ "code": credential });
            let (_, problem) = answer(plane.post("/v1/handover/login", &body).await).await;
            assert_eq!(problem["code"], "invalid_code", "{kind}");
        }
        if kind != "handle" {
            for path in ["/v1/handover/token", "/v1/handover/logout"] {
                let body = json!({ "handle": credential });
                let (_, problem) = answer(plane.post(path, &body).await).await;
                assert_eq!(problem["code"], "invalid_handle", "{kind} {path}");
            }
        }
        let bearer = plane.request(Method::GET, "/v1/keys").bearer_auth(credential);
        assert_eq!(bearer.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(plane.devices("alice").await.len(), 3, "none of these requests ended a session");
}

// F10: when the store fails, no valid token is reported as invalid.
#[tokio::test]
async fn an_unavailable_store_is_503_and_no_token_is_called_invalid() {
    let mut redis = RedisServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = redis.url();
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &url)]).await;
    let session = plane.login("alice").await;
    let offer = plane.posted("/v1/sessions", &json!({ "sub": "alice", "handover": true })).await;
    let edge = json!({ "code": offer["handover_code"] });
    let edge = plane.posted("/v1/handover/login", &edge).await;
    redis.kill();
    let grant =
        [("grant_type", "refresh_token"), ("refresh_token", text(&session, "refresh_token"))];
    let access = [("token", text(&session, "access_token"))];
    let refresh = [("token", text(&session, "refresh_token"))];
    let introspect = plane.admin(Method::POST, "/oauth/introspect").form(&access);
    for response in [
        plane.form("/oauth/token", &grant).await,
        plane.form("/oauth/revoke", &access).await,
        plane.form("/oauth/revoke", &refresh).await,
        introspect.send().await.unwrap(),
    ] {
        assert_eq!(response.headers()["retry-after"], "1");
        let (status, body) = answer(response).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["error"], "temporarily_unavailable");
    }
    let handle = json!({ "handle": edge["handle"] });
    for path in ["/v1/handover/token", "/v1/handover/logout"] {
        let (status, problem) = answer(plane.post(path, &handle).await).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(problem["code"], "store_unavailable");
    }
    for path in ["/v1/users/alice/sessions", "/v1/revocations?kind=refresh"] {
        let response = plane.admin(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    redis.start_again().await;
    let begin = std::time::Instant::now();
    let refreshed = loop {
        let (status, body) = plane.refresh(text(&session, "refresh_token")).await;
        if status == StatusCode::OK {
            break body;
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(begin.elapsed().as_secs() < 20);
    };
    plane.refreshed(text(&refreshed, "refresh_token")).await;
    let token: Value = plane.posted("/v1/handover/token", &handle).await;
    assert_eq!(plane.introspected(text(&token, "access_token")).await.0, "valid");
}
