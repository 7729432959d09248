//! What requests of clients are answered, by route and by token.

use std::time::Duration;

use reqwest::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::Value;

use crate::support::guard::{Guard, code, feed_of, issuer_of, revoke, session};
use crate::support::process::ControlPlane;

const ROUTES: &str = r#"
[[routes]]
paths = ["/open"]
access = "anonymous"

[[routes]]
paths = ["/maybe"]
access = "optional"
undecided = "anonymous"

[[routes]]
paths = ["/orders/**"]
methods = ["POST"]
scopes = ["read", "write"]

[[routes]]
paths = ["/tenant"]
claims = { tenant = ["acme", "other"] }

[[routes]]
paths = ["/other-tenant"]
claims = { tenant = "other" }

[[routes]]
paths = ["/stale"]
on_stale = "allow"

[[routes]]
paths = ["/api/**"]
methods = ["GET"]

[[headers]]
name = "X-User"
claim = "sub"

[[headers]]
name = "X-Roles"
claim = "roles"

[[headers]]
name = "X-Name"
claim = "name"
encoding = "percent"

[[headers]]
name = "X-Claims"
claim = "*"
encoding = "base64url"

[[headers]]
name = "X-Org"
claim = "/org/id"
"#;

// G01: the codes and the answers are those of the middlewares.
#[tokio::test]
async fn each_request_is_answered_by_its_route_and_its_token() {
    let plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &tables).await;
    let (session_id, token) = session(&plane, "ann", "read").await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    let writer = session(&plane, "bob", "read write").await.1;
    for (method, uri, token, status, expected) in [
        ("GET", "/api/a?b=c", token.as_str(), 200, "valid"),
        ("HEAD", "/api/a", &token, 200, "valid"),
        ("GET", "/api/a", "", 401, "missing_token"),
        ("GET", "/api/a", "a.b.c", 401, "malformed"),
        ("GET", "/api/a", &forged, 401, "bad_signature"),
        ("POST", "/api/a", &token, 403, "no_route"),
        ("GET", "/elsewhere", &token, 403, "no_route"),
        ("GET", "/elsewhere", "", 403, "no_route"),
        ("GET", "/open", "", 200, "anonymous"),
        ("DELETE", "/open", "a.b.c", 200, "anonymous"),
        ("GET", "/maybe", "", 200, "anonymous"),
        ("GET", "/maybe", &token, 200, "valid"),
        ("GET", "/maybe", "a.b.c", 401, "malformed"),
        ("POST", "/orders/7", &token, 403, "insufficient_scope"),
        ("POST", "/orders/7", &writer, 200, "valid"),
        ("GET", "/tenant", &token, 200, "valid"),
        ("GET", "/other-tenant", &token, 403, "insufficient_claims"),
    ] {
        let answer = guard.asked(method, uri, token).await;
        assert_eq!(answer, (status, expected.to_owned()), "{method} {uri}");
    }
    let answer = guard.about("GET", "/api/a").bearer_auth(&token).send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!(header("x-user"), Some("ann"));
    assert_eq!(header("x-roles"), Some("a,b"));
    assert_eq!(header("x-name"), Some("Zo%C3%AB"));
    assert_eq!(header("x-org"), None);
    let payload = token.split('.').nth(1).unwrap();
    assert_eq!(header("x-claims"), Some(payload));

    let answer = guard.about("GET", "/api/a").send().await.unwrap();
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Bearer");
    let answer = guard.about("POST", "/orders/7").bearer_auth(&token).send().await.unwrap();
    let challenge = "Bearer error=\"insufficient_scope\", scope=\"read write\"";
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], challenge);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:offswitch:problem:insufficient_scope");

    revoke(&plane, &session_id).await;
    let took = guard.until_code("/api/a", &token, "revoked_session").await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let answer = guard.about("GET", "/maybe").bearer_auth(&token).send().await.unwrap();
    assert_eq!(code(&answer), (401, "revoked_session".to_owned()));
    let challenge = "Bearer error=\"invalid_token\", error_description=\"revoked_session\"";
    assert_eq!(answer.headers()[WWW_AUTHENTICATE], challenge);
    // Everything that was answered is counted, by its code.
    let metrics = guard.admin("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("offswitch_guard_answers_total{code=\"no_route\"} 3"), "{metrics}");
}

// A gateway that does not say the host must not get the routes of another host.
#[tokio::test]
async fn routes_by_host_need_the_host() {
    let plane = ControlPlane::start().await;
    let routes = "[[routes]]\nhosts = [\"shop.example\"]\npaths = [\"/a\"]\nscopes = [\"admin\"]\n\
                  [[routes]]\npaths = [\"/a\"]\naccess = \"anonymous\"\n";
    let guard = Guard::start(&plane, "gateway = \"nginx\"", &(issuer_of(&plane) + routes)).await;
    assert_eq!(guard.asked("GET", "/a", "").await, (401, "missing_token".to_owned()));
    for (host, expected) in [
        (Some("Shop.Example.:8443"), "missing_token"),
        (Some("other.example"), "anonymous"),
        (None, "misconfigured"),
    ] {
        let mut request = guard.about("GET", "/a").build().unwrap();
        request.headers_mut().remove("x-original-host");
        if let Some(host) = host {
            request.headers_mut().insert("x-original-host", host.parse().unwrap());
        }
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(code(&client.execute(request).await.unwrap()).1, expected, "{host:?}");
    }
}

// G03: cold, and stale once the control plane is gone.
#[tokio::test]
async fn what_cannot_be_decided_is_503_and_never_valid() {
    let mut plane = ControlPlane::start().await;
    let tables = issuer_of(&plane) + ROUTES;
    let token = session(&plane, "ann", "read").await.1;
    let settings = "gateway = \"nginx\"\nmax_staleness_seconds = 4";
    let nowhere = feed_of(&plane).await.replace("/v1/feed\"", "/v1/none\"");
    let cold = Guard::launch(&nowhere, settings, &tables);
    let guard = Guard::start(&plane, settings, &tables).await;
    assert_eq!(guard.asked("GET", "/api/a", &token).await, (200, "valid".to_owned()));

    cold.until_code("/api/a", &token, "no_snapshot").await;
    let answer = cold.about("GET", "/api/a").bearer_auth(&token).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[RETRY_AFTER]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(cold.admin("/readyz").send().await.unwrap().status(), 503);
    assert_eq!(cold.admin("/healthz").send().await.unwrap().status(), 200);

    plane.kill();
    guard.until_code("/api/a", &token, "stale_snapshot").await;
    let answer = guard.about("GET", "/api/a").bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key(RETRY_AFTER));
    // What is refused stays refused, and a route may say what else undecided means.
    assert_eq!(guard.asked("GET", "/api/a", "a.b.c").await.0, 401);
    assert_eq!(guard.asked("GET", "/maybe", &token).await, (200, "anonymous".to_owned()));
    assert_eq!(guard.asked("GET", "/stale", &token).await, (200, "valid".to_owned()));
    assert_eq!(guard.asked("GET", "/open", "").await, (200, "anonymous".to_owned()));
    assert_eq!(guard.admin("/readyz").send().await.unwrap().status(), 503);
}
