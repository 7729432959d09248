//! The headers of every answer.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::process::ControlPlane;

/// The headers that protect a browser, by name; `None` where the header is missing.
fn protection(headers: &HeaderMap) -> [Option<&str>; 6] {
    [
        "content-security-policy",
        "cross-origin-opener-policy",
        "x-content-type-options",
        "x-frame-options",
        "referrer-policy",
        "strict-transport-security",
    ]
    .map(|name| headers.get(name).and_then(|value| value.to_str().ok()))
}

const SHORT: &str = "public, max-age=1, stale-if-error=60";
const API: [Option<&str>; 6] = [
    Some("default-src 'none'; frame-ancestors 'none'"),
    Some("same-origin"),
    Some("nosniff"),
    Some("DENY"),
    Some("no-referrer"),
    None,
];

// A06: on every route of the description, with and without a key, and on unknown paths.
#[tokio::test]
async fn every_answer_of_the_api_has_the_same_protection() {
    let plane = ControlPlane::start().await;
    let description: Value = plane.got("/openapi.json").await;
    let mut seen = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let requests = [
                plane.request(method.clone(), path),
                plane.admin(method.clone(), path),
                plane.admin(method.clone(), path).header("content-type", "text/csv").body("x"),
                plane.admin(Method::PATCH, path),
            ];
            for request in requests {
                let answer = request.send().await.unwrap();
                let headers = answer.headers();
                assert_eq!(protection(headers), API, "{method} {path} {}", answer.status());
                let caching = headers["cache-control"].to_str().unwrap();
                let is_public = path.starts_with("/.well-known/") && answer.status().is_success();
                let is_stream = path == "/v1/feed/stream" && answer.status().is_success();
                // P08: what the feed answers now is good for a second.
                let is_feed = ["/v1/feed", "/v1/feed/head"].contains(&path.as_str())
                    && answer.status().is_success();
                assert_eq!(caching == SHORT, is_feed, "{method} {path}: {caching}");
                let expected = [is_public, is_stream, is_feed, caching == "no-store"];
                assert!(expected.contains(&true), "{method} {path}: {caching}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 4 * 28, "{seen}");
    for path in ["/v1/nothing", "/v1/users/%ff/sessions", "/openapi.json"] {
        let answer = plane.admin(Method::GET, path).send().await.unwrap();
        assert_eq!(protection(answer.headers()), API, "{path}");
    }
    for body in ["{", "{}", "[]"] {
        let request = plane.admin(Method::POST, "/v1/sessions").body(body);
        let answer = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!(protection(answer.headers()), API, "{body}");
    }
}

// A06: neither the page nor the API's description runs a script of another origin, and neither can
// be framed.
#[tokio::test]
async fn the_pages_have_a_policy_as_a_header() {
    let plane = ControlPlane::start().await;
    for path in ["/docs/", "/docs/swagger-ui.css"] {
        let answer = plane.request(Method::GET, path).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}");
        let [policy, rest @ ..] = protection(answer.headers());
        let policy = policy.unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.ends_with("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(rest[..], API[1..]);
    }
    let page = plane.request(Method::GET, "/").send().await.unwrap();
    let policy = protection(page.headers())[0].unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.ends_with("; frame-ancestors 'none'") || !page.status().is_success());
    assert!(!policy.contains("unsafe-inline"));
}

// A06: only where clients use TLS.
#[tokio::test]
async fn an_https_issuer_has_strict_transport_security() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = [("OFFSWITCH_ISSUER", "https://auth.example")];
    let plane = ControlPlane::start_in(folder.path(), &issuer).await;
    for path in ["/healthz", "/v1/keys", "/nothing", "/"] {
        let answer = plane.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000", "{path}");
    }
}

// D31: a page of another origin resumes the stream where it ended.
#[tokio::test]
async fn a_page_of_another_origin_may_follow_the_feed() {
    let plane = ControlPlane::start().await;
    let feed = ["/v1/feed", "/v1/feed/", "/v1/feed/stream", "/v1/feed/stream/"];
    let parts = ["/v1/feed/head", "/v1/feed/bases/1.1-0011223344556677", "/v1/feed/deltas/1.1_1.2"];
    for path in feed.into_iter().chain(parts) {
        let asked = plane
            .request(Method::OPTIONS, path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", "GET")
            .header(
                "access-control-request-headers",
                "authorization,if-none-match,last-event-id,offswitch-follower",
            );
        let answer = asked.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}");
        let allowed = answer.headers()["access-control-allow-headers"].to_str().unwrap();
        for name in ["authorization", "if-none-match", "last-event-id", "offswitch-follower"] {
            assert!(allowed.split(',').any(|one| one == name), "{path}: {allowed}");
        }
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    }
}

// D114: a slash at the end of the feed's address is the same address.
#[tokio::test]
async fn the_feed_answers_with_and_without_a_slash_at_its_end() {
    let plane = ControlPlane::start().await;
    plane.posted("/v1/revocations", &json!({ "sub": "a" })).await;
    let plain = plane.admin(Method::GET, "/v1/feed").send().await.unwrap();
    let slash = plane.admin(Method::GET, "/v1/feed/").send().await.unwrap();
    let position = |answer: &reqwest::Response| answer.headers()["offswitch-position"].clone();
    assert_eq!(position(&plain), position(&slash));
    let stream = plane.admin(Method::GET, "/v1/feed/stream/").send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let closed = plane.request(Method::GET, "/v1/feed/").send().await.unwrap();
    assert_eq!(closed.status(), 401);
}
