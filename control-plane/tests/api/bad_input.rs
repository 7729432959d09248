//! Every kind of wrong request: the answer is a problem document with a code, and no state changes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::process::{ControlPlane, run};

/// The query parameter of a stream that carries its reason.
fn has_reason(request: &Value) -> bool {
    request.get("reason").is_some()
}

async fn refused(plane: &ControlPlane, path: &str, body: &Value, code: &str) {
    let answer = plane.post(path, body).await;
    let status = answer.status();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], code, "{path} {body}: {problem}");
    assert_eq!(kind, "application/problem+json");
    assert_eq!(problem["status"], status.as_u16());
    assert!(status.is_client_error());
    assert!(!problem["detail"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_revocation_that_is_not_exactly_one_thing_is_refused_and_changes_nothing() {
    let plane = ControlPlane::start().await;
    let begin = plane.got("/readyz").await["position"].clone();
    let now = offswitch::clock::unix_seconds();
    let (long, exp) = ("x".repeat(300), now + 60);
    let body = "invalid_body";
    let revocation = "invalid_revocation";
    for (request, code) in [
        (json!({}), revocation),
        (json!([]), body),
        (json!("x"), body),
        (json!(null), body),
        (json!({ "colour": "red" }), body),
        (json!({ "jti": 7, "exp": exp }), body),
        (json!({ "jti": ["a"], "exp": exp }), body),
        (json!({ "jti": "", "exp": exp }), revocation),
        (json!({ "jti": long, "exp": exp }), revocation),
        (json!({ "jti": "a", "exp": "soon" }), body),
        (json!({ "jti": "a", "exp": -1 }), body),
        (json!({ "jti": "a", "exp": 1.5 }), body),
        (json!({ "jti": "a", "exp": 1e30 }), body),
        (json!({ "jti": "a", "exp": u64::MAX }), revocation),
        (json!({ "jti": "a", "exp": now + 400 * 86_400 }), revocation),
        (json!({ "jti": "a", "exp": exp, "sub": "b" }), revocation),
        (json!({ "jti": "a", "exp": exp, "issued_before": now }), revocation),
        (json!({ "sub": "a", "issued_before": now }), revocation),
        (json!({ "claims": {} }), revocation),
        (json!({ "claims": [] }), body),
        (json!({ "claims": { "a": null } }), revocation),
        (json!({ "claims": { "a": 1.5 } }), revocation),
        (json!({ "claims": { "a": ["x"] } }), revocation),
        (json!({ "claims": { "a": long } }), revocation),
        (json!({ "claims": { "iat": 1 } }), revocation),
        (json!({ "claims": { "a": "x" }, "issued_before": 7 }), revocation),
        (json!({ "claims": { "a": "x" }, "sub": "a" }), revocation),
        (json!({ "jti": "a", "exp": exp, "reason": "x".repeat(501) }), revocation),
        (json!({ "jti": "a", "exp": exp, "reason": 5 }), body),
        (json!({ "exp": exp }), revocation),
        (json!({ "session_id": true }), body),
        (json!({ "session_id": "" }), revocation),
        (json!({ "session_id": long }), revocation),
        (json!({ "sub": {} }), body),
        (json!({ "sub": "" }), revocation),
        (json!({ "sub": long }), revocation),
        (json!({ "kid": 1 }), body),
        (json!({ "kid": "unknown" }), revocation),
        (json!({ "token": 1 }), body),
        (json!({ "token": "a.b.c" }), revocation),
        (json!({ "token": "a.b.c", "exp": exp }), revocation),
        (json!({ "token": "x".repeat(60_000) }), revocation),
        (json!({ "revocations": [] }), "too_many_revocations"),
        (json!({ "revocations": {} }), body),
        (json!({ "revocations": ["a"] }), body),
        (json!({ "revocations": [{ "sub": "a" }], "sub": "b" }), revocation),
        (json!({ "revocations": [{ "sub": "a" }, {}] }), revocation),
        (json!({ "revocations": [{ "sub": "a", "reason": "nested" }] }), body),
        (json!({ "revocations": vec![json!({ "sub": "a" }); 100_001] }), "too_many_revocations"),
    ] {
        refused(&plane, "/v1/revocations", &request, code).await;
        // D43: one defect has one code, also in a stream.
        if request.is_object() && request.get("revocations").is_none() && !has_reason(&request) {
            let line = plane.admin(Method::POST, "/v1/revocations").body(request.to_string());
            let line = line.header("content-type", "application/x-ndjson").send().await.unwrap();
            assert_eq!(line.json::<Value>().await.unwrap()["code"], code, "{request}");
        }
    }
    assert_eq!(plane.got("/readyz").await["position"], begin);
    assert_eq!(plane.got("/v1/revocations").await["requests"], json!([]));
}

#[tokio::test]
async fn a_problem_in_a_bulk_request_names_its_entry() {
    let plane = ControlPlane::start().await;
    let request = json!({ "revocations": [{ "sub": "a" }, { "sub": "b" }, { "jti": "c", "exp": 7e9 as u64 }] });
    let problem: Value = plane.post("/v1/revocations", &request).await.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().starts_with("revocations[2].exp: "), "{problem}");
}

#[tokio::test]
async fn a_session_with_wrong_fields_is_refused() {
    let plane = ControlPlane::start().await;
    let (body, session) = ("invalid_body", "invalid_session");
    for (request, code) in [
        (json!({}), body),
        (json!({ "sub": null }), body),
        (json!({ "sub": 1 }), body),
        (json!({ "sub": "" }), session),
        (json!({ "sub": "x".repeat(257) }), session),
        (json!({ "sub": "a", "audience": [] }), body),
        (json!({ "sub": "a", "audience": "" }), session),
        (json!({ "sub": "a", "audience": "x".repeat(257) }), session),
        (json!({ "sub": "a", "scope": 1 }), body),
        (json!({ "sub": "a", "scope": "" }), session),
        (json!({ "sub": "a", "scope": "x".repeat(1025) }), session),
        (json!({ "sub": "a", "claims": [] }), body),
        (json!({ "sub": "a", "claims": { "jti": "mine" } }), session),
        (json!({ "sub": "a", "claims": { "exp": 1 } }), session),
        (json!({ "sub": "a", "claims": { "ver": 99 } }), session),
        // I14
        (json!({ "sub": "a", "claims": { "cnf": { "jkt": "x" } } }), session),
        (json!({ "sub": "a", "claims": { "big": "x".repeat(5000) } }), session),
        (json!({ "sub": "a", "colour": "red" }), body),
        (json!(["a", null, null, null, null, null, null, null, false]), body),
        // D105: JSON readers would round these numbers.
        (json!({ "sub": "a", "claims": { "id": 9_007_199_254_740_993_u64 } }), session),
        (json!({ "sub": "a", "claims": { "a": [{ "b": -9_007_199_254_740_993_i64 }] } }), session),
        (json!({ "sub": "a", "claims": { "id": 1e300 } }), session),
    ] {
        refused(&plane, "/v1/sessions", &request, code).await;
    }
}

// D105: claims are stored exactly. D20: a name that occurs twice is refused, also inside claims.
#[tokio::test]
async fn application_claims_are_kept_exactly_or_refused() {
    let plane = ControlPlane::start().await;
    let largest = json!({ "sub": "a", "claims": { "n": 9_007_199_254_740_991_u64, "r": 0.1 } });
    let opened = plane.posted("/v1/sessions", &largest).await;
    let claims = crate::support::follower::peek(opened["access_token"].as_str().unwrap());
    assert_eq!(claims["n"], 9_007_199_254_740_991_u64);
    assert_eq!(claims["r"], 0.1);
    for claims in [r#"{"n":1,"n":2}"#, r#"{"a":{"n":1,"n":2}}"#, r#"{"n":123456789012345678901}"#] {
        let body = format!(r#"{{"sub":"a","claims":{claims}}}"#);
        let request = plane.admin(Method::POST, "/v1/sessions").body(body);
        let request = request.header("content-type", "application/json");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{claims}");
    }
}

// D20: one idempotency key belongs to one login, also if another user logs in with it.
#[tokio::test]
async fn an_idempotency_key_opens_one_session_only() {
    let plane = ControlPlane::start().await;
    let open = async |sub: &str| {
        let request = plane.admin(Method::POST, "/v1/sessions").json(&json!({ "sub": sub }));
        let answer = request.header("idempotency-key", "login-1").send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, first) = open("alice").await;
    assert_eq!(status, 201);
    let (status, other) = open("bob").await;
    assert_eq!((status, &other["code"]), (422, &json!("idempotency_key_reused")));
    let (status, again) = open("alice").await;
    assert_eq!((status, &again["session_id"]), (201, &first["session_id"]));
    let bobs = plane.got("/v1/sessions?sub=bob").await;
    assert_eq!(bobs["sessions"], json!([]));
}

// D114: behind a proxy that decodes and normalizes paths, `a%2F..%2Fb` would log out `b`.
#[tokio::test]
async fn an_id_that_is_ambiguous_in_a_path_is_refused_there_and_accepted_in_the_query() {
    let plane = ControlPlane::start().await;
    let sub = "a/../b";
    let opened = plane.posted("/v1/sessions", &json!({ "sub": sub })).await;
    plane.posted("/v1/sessions", &json!({ "sub": "b" })).await;
    for path in [
        "/v1/users/a%2F..%2Fb/sessions",
        "/v1/users/a%2fb/sessions",
        "/v1/users/a%5Cb/sessions",
        "/v1/users/b/sessions/a%2Fb",
    ] {
        let answer = plane.admin(Method::DELETE, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_path");
        assert!(problem["detail"].as_str().unwrap().contains("/v1/sessions?sub="), "{problem}");
    }
    let query = "/v1/sessions?sub=a%2F..%2Fb";
    let listed = plane.got(query).await;
    assert_eq!(listed["sessions"][0]["session_id"], opened["session_id"]);
    let unknown = plane.admin(Method::DELETE, &format!("{query}&session_id=x"));
    assert_eq!(unknown.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let ended = plane.admin(Method::DELETE, query).send().await.unwrap();
    assert_eq!(ended.json::<Value>().await.unwrap()["sessions_ended"], 1);
    assert_eq!(plane.got("/v1/sessions?sub=b").await["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_red_button_with_wrong_fields_is_not_pressed() {
    let plane = ControlPlane::start().await;
    let keys = plane.got("/v1/keys").await;
    for (request, code) in [
        (json!({ "dry_run": "yes" }), "invalid_body"),
        (json!({ "dry_run": null }), "invalid_body"),
        (json!({ "dryrun": true }), "invalid_body"),
        (json!({ "reason": 1 }), "invalid_body"),
        (json!({ "reason": "x".repeat(501) }), "invalid_red_button"),
        (json!([]), "invalid_body"),
        (json!([false, "end", null]), "invalid_body"),
    ] {
        refused(&plane, "/v1/red-button", &request, code).await;
    }
    assert_eq!(plane.got("/v1/keys").await, keys);
}

#[tokio::test]
async fn bodies_that_are_not_plain_json_are_refused() {
    let plane = ControlPlane::start().await;
    let send = async |path: &str, kind: Option<&str>, body: Vec<u8>| {
        let mut tries = 0;
        // A client that gets the answer before it sent everything may see a reset connection, and
        // retries.
        let answer = loop {
            let request = plane.admin(Method::POST, path).body(body.clone());
            let request =
                kind.into_iter().fold(request, |it, kind| it.header("content-type", kind));
            match request.send().await {
                Ok(answer) => break answer,
                Err(error) => assert!(tries < 9 && body.len() > 65_536, "{error}"),
            }
            tries += 1;
        };
        let status = answer.status();
        let problem: Value = answer.json().await.unwrap();
        (status.as_u16(), problem["code"].as_str().unwrap().to_owned())
    };
    let json = Some("application/json");
    for path in ["/v1/revocations", "/v1/sessions", "/v1/red-button"] {
        let body = |code: &str| (400, code.to_owned());
        assert_eq!(send(path, json, b"{".into()).await, body("invalid_body"));
        assert_eq!(send(path, json, b"{}{}".into()).await, body("invalid_body"));
        assert_eq!(send(path, json, b"\xff\xfe".into()).await, body("invalid_body"));
        let twice = br#"{"reason":"a","reason":"b","sub":"a"}"#;
        assert_eq!(send(path, json, twice.into()).await, body("invalid_body"));
        let deep = "[".repeat(100_000);
        let deep = send(path, json, deep.into_bytes()).await.0;
        assert!(deep == 400 || deep == 413, "{deep}");
        let nested = br#"{"claims":{"a":1,"a":2},"sub":"a"}"#;
        assert_eq!(send(path, json, nested.into()).await, body("invalid_body"));
        let media = (415, "unsupported_media_type".to_owned());
        assert_eq!(send(path, None, br#"{"sub":"a"}"#.into()).await, media);
        assert_eq!(send(path, Some("text/plain"), br#"{"sub":"a"}"#.into()).await, media);
        let form = Some("application/x-www-form-urlencoded");
        assert_eq!(send(path, form, b"sub=a".into()).await, media);
    }
    // D43: a missing body counts as `{}`, and the error names the accepted content types.
    let empty = |path: &'static str| send(path, json, b"".into());
    assert_eq!(empty("/v1/revocations").await, (400, "invalid_revocation".to_owned()));
    assert_eq!(empty("/v1/sessions").await, (400, "invalid_body".to_owned()));
    let rotated = plane.admin(Method::POST, "/v1/keys/rotate").send().await.unwrap();
    assert_eq!(rotated.status(), StatusCode::OK);
    let csv = plane.admin(Method::POST, "/v1/revocations").header("content-type", "text/csv");
    let problem: Value = csv.body("sub\na").send().await.unwrap().json().await.unwrap();
    let detail = "the content-type is text/csv, expected application/json or application/x-ndjson";
    assert_eq!(problem["detail"], detail);
    let large = (413, "body_too_large".to_owned());
    assert_eq!(send("/v1/sessions", json, vec![b' '; 70_000]).await, large);
    assert_eq!(send("/v1/revocations", json, vec![b' '; 33 * 1024 * 1024]).await, large);
}

#[tokio::test]
async fn queries_and_headers_are_read_strictly() {
    let plane = ControlPlane::start().await;
    for path in [
        "/v1/revocations?limit=0",
        "/v1/revocations?limit=101",
        "/v1/revocations?limit=-1",
        "/v1/revocations?limit=ten",
        "/v1/revocations?before=x",
        "/v1/revocations?befor=1",
        "/v1/revocations?limit=1&limit=2",
        "/v1/revocations?sub=a&jti=b",
        "/v1/revocations?kind=refresh&sub=a",
        "/v1/revocations?kind=both",
        "/v1/revocations?sub=%ff",
        "/v1/sessions",
        "/v1/feed?since=1",
        "/v1/feed?since=1.x",
        "/v1/feed?since=+1.2",
        "/v1/feed?since=1.99999999999999999999",
        "/v1/feed?wait=61",
        "/v1/feed?wait=-1",
        "/v1/feed?wait=long",
        "/v1/feed?sinc=1.2",
        "/v1/feed/stream?since=x",
        "/v1/feed/stream?wait=1",
    ] {
        let answer = plane.admin(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_query", "{path}");
    }
    let answer = plane.admin(Method::GET, "/v1/users/%ff/sessions").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.json::<Value>().await.unwrap()["code"], "invalid_path");
    let stream = plane.admin(Method::GET, "/v1/feed/stream").header("last-event-id", "x");
    assert_eq!(stream.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let long = "k".repeat(129);
    for key in ["", &long, "ümlaut"] {
        let request = plane.admin(Method::POST, "/v1/revocations").json(&json!({ "sub": "a" }));
        let answer = request.header("idempotency-key", key).send().await.unwrap();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "invalid_idempotency_key", "{key:?}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let plane = ControlPlane::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/v1", 404, "not_found"),
        (Method::GET, "/v2/feed", 404, "not_found"),
        (Method::DELETE, "/v1/revocations", 405, "method_not_allowed"),
        (Method::GET, "/v1/keys/rotate", 405, "method_not_allowed"),
    ] {
        let answer = plane.admin(method, path).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let headers = answer.headers().clone();
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], code, "{path}");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}

#[test]
fn all_errors_of_a_configuration_are_reported_before_the_server_listens() {
    let output = run(
        &["serve"],
        &[("OFFSWITCH_LISTEN", "nowhere"), ("OFFSWITCH_STORE", "x"), ("OFFSWITCH_LOG", "loud")],
    );
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    for key in ["listen", "store", "log"] {
        assert!(text.contains(&format!("  {key}: ")), "{text}");
    }
    let help = run(&["serve", "--help"], &[]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("access_token_seconds  [default: 600]"), "{text}");
    let scope = run(&["api-keys", "create", "--name", "x", "--scope", "everything"], &[]);
    assert!(String::from_utf8(scope.stderr).unwrap().contains("revocations:write"));
}
