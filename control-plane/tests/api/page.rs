//! The page in the binary, and what pages of other origins may read.

use reqwest::{Method, StatusCode, header};

use crate::support::process::ControlPlane;

// A page with an embedded verifier follows the feed from its own origin, with a key of its own.
#[tokio::test]
async fn pages_of_other_origins_may_read_the_feed_and_the_keys_and_nothing_else() {
    let plane = ControlPlane::start().await;
    let origin = "https://app.example";
    for (path, is_readable) in [
        ("/.well-known/jwks.json", true),
        ("/v1/feed", true),
        ("/v1/feed/stream", true),
        ("/v1/keys", false),
        ("/v1/revocations", false),
        ("/v1/status", false),
    ] {
        let request = plane.admin(Method::GET, path).header(header::ORIGIN, origin);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed.is_some_and(|allowed| allowed == "*"), is_readable, "{path}");
        let asked = plane
            .request(Method::OPTIONS, path)
            .header(header::ORIGIN, origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization")
            .send()
            .await
            .unwrap();
        assert_eq!(asked.status().is_success(), is_readable, "{path}");
        // D31: the headers that a verifier sends, including the position of a stream that it
        // resumes.
        let headers = asked.headers().get(header::ACCESS_CONTROL_ALLOW_HEADERS);
        let headers = headers.map_or("", |all| all.to_str().unwrap()).to_ascii_lowercase();
        let allowed: Vec<_> = headers.split(',').map(str::trim).collect();
        for name in ["authorization", "if-none-match", "last-event-id"] {
            assert_eq!(allowed.contains(&name), is_readable, "{path}: {name}");
        }
    }
    // Without a key, no origin can read anything.
    let without = plane.request(Method::GET, "/v1/feed").header(header::ORIGIN, origin);
    assert_eq!(without.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

// An unknown path gets the same kind of error everywhere.
#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let plane = ControlPlane::start().await;
    for path in ["/nothing", "/assets/nothing.js", "/../Cargo.toml", "/%2e%2e/Cargo.toml"] {
        let answer = plane.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        let problem: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(problem["code"], "not_found", "{path}");
    }
    let posted = plane.request(Method::POST, "/").send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::NOT_FOUND);
}

// The holder of a key learns its scopes, and which durability an answer of this process has.
#[tokio::test]
async fn a_key_learns_its_own_scopes() {
    let plane = ControlPlane::start().await;
    let status = plane.got("/v1/status").await;
    assert_eq!(status["key"]["name"], "admin");
    assert!(status["key"]["scopes"].as_array().unwrap().contains(&"red-button".into()));
    assert_eq!(status["durability"], "synced");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
}
