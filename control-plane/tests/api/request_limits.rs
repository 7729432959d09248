//! How many requests a key and a source may send: what is refused, and who is not affected.

use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::process::ControlPlane;
use crate::support::redis_server::RedisServer;

/// A request of a client behind a trusted proxy.
fn from(source: &str, request: RequestBuilder) -> RequestBuilder {
    request.header("x-forwarded-for", source)
}

/// The stable code of an answer beyond the limits, and whether it is an OAuth error; absent for another answer.
async fn limited(answer: Response) -> Option<bool> {
    if answer.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let body: Value = answer.json().await.unwrap();
    let is_oauth = body["error"] == "temporarily_unavailable";
    let code = if is_oauth { &body["error_description"] } else { &body["code"] };
    (code == "too_many_requests").then_some(is_oauth)
}

/// Sends a request until it is refused by a limit of one per second; absent if no request was.
async fn flooded(request: impl Fn() -> RequestBuilder) -> Option<bool> {
    // Ten fill the allowance, and one more becomes free each second.
    refused_within(30, request).await
}

async fn refused_within(most: usize, request: impl Fn() -> RequestBuilder) -> Option<bool> {
    for _ in 0..most {
        // A stream that is followed is not read to its end.
        if let Some(is_oauth) = limited(request().send().await.unwrap()).await {
            return Some(is_oauth);
        }
    }
    None
}

// O08: every route of the description; a new one cannot be forgotten.
#[tokio::test]
async fn every_route_but_probes_is_limited_by_source_and_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let mut plane = ControlPlane::start_in(folder.path(), &[]).await;
    let description: Value =
        plane.request(Method::GET, "/openapi.json").send().await.unwrap().json().await.unwrap();
    let mut routes = Vec::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let scopes = operation["security"][0]["api_key"].as_array();
            let scope = scopes.map(|scopes| scopes.first().cloned().unwrap_or("keys:read".into()));
            let mut key = None;
            if let Some(scope) = &scope {
                let made = json!({ "name": "one route", "scopes": [scope] });
                let made = plane.posted("/v1/api-keys", &made).await;
                key = Some((scope.clone(), made["key"].as_str().unwrap().to_owned()));
            }
            let says_so = operation["responses"]["429"].is_object();
            routes.push((method.to_uppercase().parse().unwrap(), path.clone(), key, says_so));
        }
    }
    // For what the description does not list.
    routes.push((Method::GET, "/docs/".to_owned(), None, true));
    routes.push((Method::GET, "/no-such-page".to_owned(), None, true));
    plane.kill();
    let environment = [
        ("OFFSWITCH_REQUESTS_PER_KEY", "1"),
        ("OFFSWITCH_REQUESTS_PER_SOURCE", "1"),
        ("OFFSWITCH_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    for (number, (method, path, key, says_so)) in routes.into_iter().enumerate() {
        let method: Method = method;
        let source = format!("198.51.100.{number}");
        // A body that most routes refuse before they do anything.
        let request = || {
            let request = from(&source, plane.request(method.clone(), &path));
            request.header("content-type", "text/plain").body("junk")
        };
        let is_oauth = path.starts_with("/oauth/") || path.ends_with("/backchannel-logout");
        let is_probe = ["/healthz", "/readyz"].contains(&path.as_str());
        let expected = (!is_probe).then_some(is_oauth);
        assert_eq!(says_so, !is_probe, "{path} in the description");
        assert_eq!(flooded(request).await, expected, "{method} {path} without a key");
        let Some((scope, key)) = key else { continue };
        // The key may do this, so that what others behind the same address do does not count for it.
        let follows_feed = scope == "feed:read";
        let expected = (!follows_feed).then_some(is_oauth);
        let with_key = || request().bearer_auth(&key);
        assert!(limited(with_key().send().await.unwrap()).await.is_none(), "{method} {path}");
        assert_eq!(flooded(with_key).await, expected, "{method} {path} with its key");
    }
}

// O08, A05: what holds a key of another kind is anyone.
#[tokio::test]
async fn a_key_that_may_not_use_a_route_counts_for_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let environment =
        [("OFFSWITCH_REQUESTS_PER_SOURCE", "1"), ("OFFSWITCH_TRUSTED_PROXIES", "127.0.0.1")];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let key = async |scope: &str| {
        let made = plane.posted("/v1/api-keys", &json!({ "name": "x", "scopes": [scope] })).await;
        made["key"].as_str().unwrap().to_owned()
    };
    let (feed, revoker) = (key("feed:read").await, key("revocations:write").await);
    let revoke = |source: &'static str, key: &str| {
        from(source, plane.request(Method::POST, "/oauth/revoke"))
            .bearer_auth(key)
            .form(&[("token", "x")])
    };
    assert_eq!(flooded(|| revoke("198.51.100.1", &feed)).await, Some(true));
    assert_eq!(flooded(|| revoke("198.51.100.1", "osk_unknown")).await, Some(true));
    // It may revoke tokens of other issuers there.
    assert_eq!(flooded(|| revoke("198.51.100.1", &revoker)).await, None);
    let keys = || from("198.51.100.2", plane.request(Method::GET, "/v1/keys")).bearer_auth(&feed);
    assert_eq!(flooded(keys).await, Some(false));
    // One network of IPv6 is one source, and another is not.
    let jwks = |source| from(source, plane.request(Method::GET, "/.well-known/jwks.json"));
    assert_eq!(flooded(|| jwks("2001:db8:1:2::1")).await, Some(false));
    assert!(limited(jwks("2001:db8:1:2::2").send().await.unwrap()).await.is_some());
    assert!(limited(jwks("2001:db8:1:3::1").send().await.unwrap()).await.is_none());
}

// O08, A05: honest clients are served while others flood, with and without a store.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_is_refused_and_others_are_served_also_without_a_store() {
    let mut redis = RedisServer::start().await;
    let (folder, url) = (tempfile::tempdir().unwrap(), redis.url());
    let environment = [
        ("OFFSWITCH_STORE", url.as_str()),
        ("OFFSWITCH_REQUESTS_PER_KEY", "20"),
        ("OFFSWITCH_REQUESTS_PER_SOURCE", "5"),
        ("OFFSWITCH_TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let key = json!({ "name": "loop", "scopes": ["keys:read"] });
    let looping = plane.posted("/v1/api-keys", &key).await["key"].as_str().unwrap().to_owned();
    let mut session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let refresh = |source: &'static str, token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        from(source, plane.request(Method::POST, "/oauth/token")).form(&form)
    };
    let begin = Instant::now();
    let flood = async {
        // (requests that passed, requests that were refused) of a source and of a key.
        let (mut by_source, mut by_key) = ((0, 0), (0, 0));
        while begin.elapsed() < Duration::from_secs(2) || by_key.1 < 100 {
            let asked = async |request: RequestBuilder, counts: &mut (u64, u64)| match limited(
                request.send().await.unwrap(),
            )
            .await
            {
                None => counts.0 += 1,
                Some(_) => counts.1 += 1,
            };
            asked(refresh("198.51.100.1", "osr_junk"), &mut by_source).await;
            asked(plane.request(Method::GET, "/v1/keys").bearer_auth(&looping), &mut by_key).await;
            assert!(begin.elapsed() < Duration::from_secs(60), "{by_source:?} {by_key:?}");
        }
        (by_source, by_key)
    };
    let honest = async {
        let mut served = 0;
        while served < 30 {
            let token = session["refresh_token"].as_str().unwrap();
            let answer = refresh("198.51.100.2", token).send().await.unwrap();
            assert_eq!(answer.status(), 200, "refresh {served}");
            session = answer.json().await.unwrap();
            plane.posted("/v1/revocations", &json!({ "sub": format!("user-{served}") })).await;
            served += 1;
        }
    };
    let ((by_source, by_key), ()) = tokio::join!(flood, honest);
    let seconds = begin.elapsed().as_secs() + 1;
    assert!(by_source.0 <= 50 + 5 * seconds && by_source.1 > 0, "{by_source:?} in {seconds} s");
    assert!(by_key.0 <= 200 + 20 * seconds && by_key.1 > 0, "{by_key:?} in {seconds} s");

    // A dead store makes the limiter neither open nor closed.
    redis.kill();
    assert!(refused_within(100, || refresh("198.51.100.3", "osr_junk")).await.is_some());
    let other = refresh("198.51.100.4", "osr_junk").send().await.unwrap();
    assert_eq!(other.status(), 400, "a forged token needs no store");
    assert_eq!(plane.admin(Method::GET, "/v1/status").send().await.unwrap().status(), 200);
    let revoked = plane.post("/v1/revocations", &json!({ "sub": "bob" })).await;
    assert_eq!(revoked.status(), 503, "not 429: the store is the reason");

    // What Retry-After says is enough.
    let mut refused =
        plane.request(Method::GET, "/v1/keys").bearer_auth(&looping).send().await.unwrap();
    while refused.status() != StatusCode::TOO_MANY_REQUESTS {
        refused =
            plane.request(Method::GET, "/v1/keys").bearer_auth(&looping).send().await.unwrap();
    }
    let pause: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    sleep(Duration::from_secs(pause)).await;
    let again = plane.request(Method::GET, "/v1/keys").bearer_auth(&looping).send().await.unwrap();
    assert_eq!(again.status(), 200);
    let metrics = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for reason in ["key_limit", "source_limit"] {
        let series = format!("offswitch_requests_refused_total{{reason=\"{reason}\"}}");
        assert!(metrics.contains(&series), "{series}");
    }
    // Nothing of a refused request is recorded.
    let lines = std::fs::read_dir(folder.path().join("audit")).unwrap();
    let lines = lines.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    assert!(!lines.collect::<String>().contains("too_many_requests"));
}
