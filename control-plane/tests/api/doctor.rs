//! `offswitch doctor`, against real control planes: a healthy system, and planted faults. O06.

mod faults;
mod route;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::any;
use offswitch::server::Limits;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::support::follower::now;
use crate::support::local_server::LocalServer;
use crate::support::process::{ControlPlane, run};
use crate::support::provider::{Keys, Provider};
use crate::support::redis_server::{RedisServer, free_port};

/// What the command printed, and its exit status.
struct Report {
    checks: Vec<Value>,
    code: Option<i32>,
    text: String,
}

impl Report {
    /// The result of a check; about a subject, if one is given.
    fn of(&self, check: &str, subject: &str) -> (&str, &str) {
        let is_meant = |one: &&Value| {
            one["check"] == check && one["subject"].as_str().unwrap_or_default() == subject
        };
        let found = self.checks.iter().find(is_meant);
        let found = found.unwrap_or_else(|| panic!("{check} {subject} in {}", self.text));
        (found["result"].as_str().unwrap(), found["detail"].as_str().unwrap())
    }

    /// The checks that are neither ok nor skipped.
    fn problems(&self) -> Vec<(&str, &str)> {
        let all = self.checks.iter().map(|one| (&one["check"], &one["result"]));
        let all = all.map(|(check, result)| (check.as_str().unwrap(), result.as_str().unwrap()));
        all.filter(|(_, result)| !["ok", "skipped"].contains(result)).collect()
    }
}

/// Runs the command while the test serves its requests.
async fn doctor(url: &str, key: &str, more: &[&str]) -> Report {
    doctor_on(url, key, more, &[]).await
}

/// The same on a machine with these further variables.
async fn doctor_on(url: &str, key: &str, more: &[&str], machine: &[(&str, &str)]) -> Report {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let machine: Vec<(String, String)> = machine.iter().map(own).collect();
    let arguments = [&["doctor", "--json", "--url", url], more].concat();
    let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    let key = key.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        // An operator's machine has no configuration of a control plane: the command reads none.
        let machine = machine.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = [("OFFSWITCH_API_KEY", key.as_str()), ("OFFSWITCH_STORE", "nonsense")];
        run(&arguments, &own.into_iter().chain(machine).collect::<Vec<_>>())
    });
    let output = output.await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("osk_") && !text.contains("eyJ"), "no key and no token: {text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    Report {
        checks: report["checks"].as_array().unwrap().clone(),
        code: output.status.code(),
        text,
    }
}

async fn examined(plane: &ControlPlane, more: &[&str]) -> Report {
    doctor(&url(plane), &plane.admin_key(), more).await
}

fn url(plane: &ControlPlane) -> String {
    format!("http://127.0.0.1:{}", plane.port())
}

async fn register(plane: &ControlPlane, provider: &Provider, more: &Value) {
    let mut body = json!({ "issuer": provider.issuer(), "horizon_seconds": 3600 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = plane.admin(Method::PUT, "/v1/issuers/idp").json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

/// A control plane at which a provider is registered with all receivers.
async fn started() -> (ControlPlane, Provider) {
    let (plane, provider) = (ControlPlane::start().await, Provider::start().await);
    let receivers = json!({
        "backchannel_logout": { "client_ids": ["app"] },
        "events": { "audiences": ["app"] },
        "global_token_revocation": { "audiences": ["app"] },
        "webhook": { "preset": "clerk" },
    });
    register(&plane, &provider, &json!({ "receivers": receivers })).await;
    (plane, provider)
}

/// The claims of a good access token.
fn claims(provider: &Provider) -> Value {
    let at = now();
    json!({ "iss": provider.issuer(), "aud": "api", "sub": "alice", "sid": "s", "jti": "t",
            "iat": at, "exp": at + 600 })
}

fn signed(provider: &Provider, claims: &Value) -> String {
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "k1" });
    provider.sign_text(&header, &claims.to_string())
}

fn file(text: &str) -> (NamedTempFile, String) {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{text}\n")).unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    (file, name)
}

/// An edge without a verifier: it lets the first `passes` requests through.
async fn edge(passes: usize) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let answer = any(async move || match seen.fetch_add(1, Ordering::SeqCst) {
        count if count < passes => StatusCode::OK,
        _ => StatusCode::UNAUTHORIZED,
    });
    let router = Router::new().route("/me", answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}/me")
}

// O06: no key and no token is shown ([`doctor`] checks that), and nothing is left behind.
#[tokio::test]
async fn a_healthy_system_has_no_problem() {
    let (plane, provider) = started().await;
    let (_kept, token) = file(&signed(&provider, &claims(&provider)));
    let report = examined(&plane, &["--token-file", &token]).await;
    assert_eq!((report.problems(), report.code), (vec![], Some(0)), "{}", report.text);
    for (check, subject) in [
        ("control_plane", ""),
        ("clock", ""),
        ("api_key", ""),
        ("feed", ""),
        ("own_key_set", ""),
        ("discovery", "idp"),
        ("key_set", "idp"),
        ("issuer_clock", "idp"),
        ("receiver_events", "idp/backchannel-logout"),
        ("receiver_address", "idp/backchannel-logout"),
        ("receiver_address", "idp/events"),
        ("receiver_address", "idp/global-token-revocation"),
        ("receiver_address", "idp/webhook"),
        ("token_issuer", "idp"),
        ("token", ""),
        ("token_claims", "session"),
        ("token_horizon", ""),
    ] {
        assert_eq!(report.of(check, subject).0, "ok", "{check}");
    }
    let token = report.checks.iter().find(|one| one["check"] == "token").unwrap();
    assert_eq!(token["steps"].as_array().unwrap().len(), 19, "{token}");
    // The check of the receivers leaves no record.
    let issuers = plane.got("/v1/issuers").await;
    assert_eq!(issuers["issuers"][0]["receiver_status"][0]["failed"], 0);
    // A token of the control plane itself.
    let session = plane.posted("/v1/sessions", &json!({ "sub": "bob" })).await;
    let (_kept, token) = file(session["access_token"].as_str().unwrap());
    let report = examined(&plane, &["--token-file", &token]).await;
    assert_eq!((report.problems(), report.code), (vec![], Some(0)), "{}", report.text);
    assert_eq!(report.of("token_issuer", "").0, "ok");
    // The horizon is the one that the feed has: how long the control plane's tokens live.
    let (result, detail) = report.of("token_horizon", "");
    assert!(result == "ok" && detail.contains("horizon of its issuer is 600 s"), "{detail}");
}

// O06.
#[tokio::test]
async fn without_a_control_plane_nothing_could_be_checked() {
    let unused = format!("http://127.0.0.1:{}", free_port());
    let provider = Provider::start().await;
    // A mistyped address gets no key.
    let (asked, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (asked.clone(), seen.clone());
    let anything = any(async move |headers: HeaderMap| {
        counted.0.fetch_add(1, Ordering::SeqCst);
        counted.1.fetch_add(usize::from(headers.contains_key("authorization")), Ordering::SeqCst);
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback_service(anything);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    for url in [unused.as_str(), provider.issuer(), other.as_str()] {
        let report = doctor(url, "osk_x", &[]).await;
        assert_eq!(report.of("control_plane", "").0, "failed", "{}", report.text);
        assert_eq!(report.code, Some(3));
    }
    assert_eq!((asked.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (1, 0));
}

// O06.
#[tokio::test]
async fn an_incomplete_command_line_is_refused() {
    let (_kept, token) = file("x");
    for arguments in [
        &["--sacrifice"][..],
        &["--sacrifice", "--edge", "http://127.0.0.1:1"],
        &["--sacrifice", "--token-file", &token],
        &["--edge", "http://127.0.0.1:1"],
        &["--token-file", "/nowhere"],
        &["--key-file", "/nowhere"],
    ] {
        let all = [&["doctor", "--url", "http://127.0.0.1:1"], arguments].concat();
        let output = run(&all, &[("OFFSWITCH_API_KEY", "osk_x")]);
        // It has not even sent a request.
        let found = (output.status.code(), output.stdout.is_empty());
        assert_eq!(found, (Some(2), true), "{arguments:?}");
    }
    for url in ["", "127.0.0.1", "ftp://x", "http://user:secret@x"] {
        let output = run(&["doctor", "--url", url], &[("OFFSWITCH_API_KEY", "osk_x")]);
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && !printed.contains("secret"), "{url}: {printed}");
    }
    assert_eq!(run(&["doctor", "--url", "http://127.0.0.1:1"], &[]).status.code(), Some(2));
}

// O06.
#[tokio::test]
async fn a_key_that_is_wrong_or_lacks_a_scope_is_found() {
    let plane = ControlPlane::start().await;
    let report = doctor(&url(&plane), "osk_wrong", &[]).await;
    assert_eq!((report.of("api_key", "").0, report.code), ("failed", Some(1)), "{}", report.text);
    let body = json!({ "name": "reader", "scopes": ["keys:read"] });
    let made = plane.posted("/v1/api-keys", &body).await;
    let report = doctor(&url(&plane), made["key"].as_str().unwrap(), &[]).await;
    let (result, detail) = report.of("api_key", "");
    assert!(result == "failed" && detail.contains("lacks feed:read"), "{detail}");
    assert_eq!((report.of("feed", "").0, report.code), ("failed", Some(1)));
}

// O06: verifiers that trust another key accept no snapshot.
#[tokio::test]
async fn a_feed_key_that_the_feed_does_not_have_is_found() {
    let plane = ControlPlane::start().await;
    let keys = plane.got("/v1/keys").await;
    let good = keys["feed_public_keys"][0].as_str().unwrap();
    let other = ControlPlane::start().await.got("/v1/keys").await;
    let other = other["feed_public_keys"][0].as_str().unwrap();
    let report = examined(&plane, &["--feed-key", good]).await;
    assert_eq!(report.code, Some(0), "{}", report.text);
    let report = examined(&plane, &["--feed-key", other]).await;
    let (result, detail) = report.of("feed", "");
    assert!(result == "failed" && detail.contains("snapshot_unknown_key"), "{detail}");
    assert_eq!(report.code, Some(1));
}

// O06: a control plane whose answers have the date of another clock.
#[tokio::test]
async fn a_clock_that_is_wrong_is_found() {
    for (seconds, expected, part) in
        [(-20, "warning", "behind"), (20, "warning", "ahead"), (-120, "failed", "behind")]
    {
        let dated = move |mut answer: Response| async move {
            let date = UNIX_EPOCH + Duration::from_secs(now().saturating_add_signed(seconds));
            let date = HeaderValue::try_from(httpdate::fmt_http_date(date)).unwrap();
            answer.headers_mut().insert(header::DATE, date);
            answer
        };
        let layer = |router: Router| router.layer(map_response(dated));
        let plane = LocalServer::start_layered(Limits::default(), |_| (), layer).await;
        let report = doctor(&plane.url(""), plane.admin_key(), &[]).await;
        let (result, detail) = report.of("clock", "");
        assert!(result == expected && detail.contains(part), "{seconds}: {}", report.text);
    }
}

// O06.
#[tokio::test]
async fn an_unavailable_store_is_found() {
    let mut redis = RedisServer::start().await;
    let (folder, store) = (tempfile::tempdir().unwrap(), redis.url());
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &store)]).await;
    redis.kill();
    let begin = std::time::Instant::now();
    loop {
        let report = examined(&plane, &[]).await;
        if report.of("control_plane", "").0 == "failed" {
            assert_eq!(report.code, Some(1), "{}", report.text);
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", report.text);
    }
}

// O06.
#[tokio::test]
async fn faults_of_an_issuer_are_found() {
    let (plane, provider) = started().await;
    for (keys, part) in [
        (Keys::Broken, "500"),
        (Keys::Redirected, "307"),
        (Keys::NotJson, "not a JWK set"),
        (Keys::Endless, "length limit"),
        (Keys::Unusable, "no usable key"),
    ] {
        provider.answer(keys);
        let report = examined(&plane, &[]).await;
        let (result, detail) = report.of("key_set", "idp");
        assert!(result == "failed" && detail.contains(part), "{keys:?}: {detail}");
        assert_eq!((report.problems().len(), report.code), (1, Some(1)), "{}", report.text);
    }
    provider.answer(Keys::Served);
    provider.call_itself("https://other.example");
    let report = examined(&plane, &[]).await;
    let (result, detail) = report.of("discovery", "idp");
    assert!(result == "failed" && detail.contains("https://other.example"), "{detail}");
    assert_eq!(report.of("key_set", "idp").0, "skipped");
    let report = examined(&plane, &["--issuer", "nobody"]).await;
    assert_eq!((report.of("issuer", "nobody").0, report.problems().len()), ("failed", 1));
    drop(provider);
    let report = examined(&plane, &["--issuer", "idp"]).await;
    assert_eq!((report.of("discovery", "idp").0, report.code), ("failed", Some(1)));
}

// O06: the provider uses the public address, which the operator's machine may not.
#[tokio::test]
async fn a_receiver_that_is_not_reached_at_the_public_address_is_found() {
    let provider = Provider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = [("OFFSWITCH_ISSUER", provider.issuer())];
    let plane = ControlPlane::start_in(folder.path(), &elsewhere).await;
    let other = Provider::start().await;
    let receivers = json!({ "receivers": { "backchannel_logout": { "client_ids": ["app"] } } });
    register(&plane, &other, &receivers).await;
    let path = "/v1/receivers/idp/backchannel-logout";
    plane.form(path, &[("logout_token", "junk")]).await;
    let report = examined(&plane, &[]).await;
    let (result, detail) = report.of("receiver_address", "idp/backchannel-logout");
    assert!(result == "failed" && detail.contains("404"), "{detail}");
    let (result, detail) = report.of("receiver_events", "idp/backchannel-logout");
    assert!(result == "warning" && detail.contains("malformed"), "{detail}");
}

// O06.
#[tokio::test]
async fn faults_of_a_token_are_found() {
    let (plane, provider) = started().await;
    let other = Provider::start().await;
    let with = |changes: Value| {
        let mut all = claims(&provider);
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        all
    };
    let good = signed(&provider, &with(json!({})));
    let another = signed(&provider, &with(json!({ "sub": "bob" })));
    let (head, _) = good.rsplit_once('.').unwrap();
    let (_, signature) = another.rsplit_once('.').unwrap();
    let mut without_session = claims(&provider);
    without_session.as_object_mut().unwrap().remove("sid");
    let at = now();
    for (fault, token, (check, subject, result, part)) in [
        (
            "not registered",
            signed(&other, &claims(&other)),
            ("token_issuer", "", "failed", "not registered"),
        ),
        ("no token", "a.b".to_owned(), ("token_issuer", "", "failed", "no token")),
        (
            "no session",
            signed(&provider, &without_session),
            ("token_claims", "session", "warning", "would do nothing"),
        ),
        (
            "too long",
            signed(&provider, &with(json!({ "exp": at + 3700 }))),
            ("token_horizon", "", "failed", "horizon_seconds"),
        ),
        (
            "expired",
            signed(&provider, &with(json!({ "iat": at - 900, "exp": at - 600 }))),
            ("token", "", "failed", "expired"),
        ),
        (
            "another signature",
            format!("{head}.{signature}"),
            ("token", "", "failed", "bad_signature"),
        ),
    ] {
        let (_kept, name) = file(&token);
        let report = examined(&plane, &["--token-file", &name]).await;
        let found = report.of(check, subject);
        assert!(found.0 == result && found.1.contains(part), "{fault}: {}", report.text);
        let expected = if result == "failed" { 1 } else { 0 };
        assert_eq!(report.code, Some(expected), "{fault}: {}", report.text);
    }
    // A token that is already revoked: the report says by which selector.
    plane.posted("/v1/revocations", &json!({ "sub": "alice", "issuer": provider.issuer() })).await;
    let (_kept, name) = file(&good);
    let report = examined(&plane, &["--token-file", &name]).await;
    let (result, detail) = report.of("token", "");
    assert!(result == "failed" && detail.contains("revoked_user"), "{detail}");
}

// O06: a token is not revoked if its revocation would prove nothing.
#[tokio::test]
async fn an_edge_that_refuses_from_the_start_costs_no_token() {
    let (plane, provider) = started().await;
    let (_kept, token) = file(&signed(&provider, &claims(&provider)));
    let before = plane.got("/readyz").await["position"].clone();
    let sacrifice = |edge: String| {
        let (plane, token) = (&plane, &token);
        async move { examined(plane, &["--token-file", token, "--sacrifice", "--edge", &edge]).await }
    };
    let report = sacrifice(edge(0).await).await;
    assert_eq!((report.of("edge_before", "").0, report.code), ("failed", Some(1)));
    assert_eq!(report.of("revocation", "").0, "skipped");
    assert_eq!(plane.got("/readyz").await["position"], before, "nothing was revoked");
    let report = sacrifice(edge(3).await).await;
    assert_eq!((report.of("edge_refusal", "").0, report.code), ("ok", Some(0)), "{}", report.text);
    let report = sacrifice(edge(3).await).await;
    assert_eq!((report.of("token", "").0, report.of("edge_before", "").0), ("failed", "skipped"));
}

// O06.
#[tokio::test]
async fn an_edge_that_never_refuses_is_found_after_half_a_minute() {
    let (plane, provider) = started().await;
    let (_kept, token) = file(&signed(&provider, &claims(&provider)));
    let edge = edge(usize::MAX).await;
    let report = examined(&plane, &["--token-file", &token, "--sacrifice", "--edge", &edge]).await;
    let (result, detail) = report.of("edge_refusal", "");
    assert!(result == "failed" && detail.contains("it answers 200"), "{detail}");
    assert_eq!((report.of("revocation", "").0, report.code), ("ok", Some(1)));
}
