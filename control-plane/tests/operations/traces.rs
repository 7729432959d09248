//! Traces, as a collector gets them by OTLP. O04.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::collector::{Collector, attribute, number};
use crate::support::follower::peek;
use crate::support::guard::{Guard, feed_of, issuer_of, session};
use crate::support::process::ControlPlane;
use crate::support::redis_server::free_port;

/// A control plane that exports to `address`, with these further variables.
async fn exporting(address: &str, more: &[(&str, &str)]) -> (ControlPlane, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut environment = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", address), SOON];
    environment.extend_from_slice(more);
    (ControlPlane::start_in(folder.path(), &environment).await, folder)
}

/// The trace of a caller, as it names it: sampled, or not.
fn caller(number: u8, flags: &str) -> String {
    format!("00-{:032x}-00f067aa0ba902b7-{flags}", 0xabc0_u128 + u128::from(number))
}

fn of_trace(spans: &[Span], number: u8) -> Vec<Span> {
    let id = (0xabc0_u128 + u128::from(number)).to_be_bytes();
    spans.iter().filter(|span| span.trace_id == id).cloned().collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name)
}

/// What came of spans so far.
async fn counted(plane: &ControlPlane, outcome: &str) -> u64 {
    let text = plane.admin(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let name = format!("offswitch_spans_total{{outcome=\"{outcome}\"}} ");
    let found = text.lines().find_map(|line| line.strip_prefix(&name));
    found.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

// O04: request, append, fold and publish, each a part of the one before, in the trace of the caller.
#[tokio::test]
async fn a_revocation_is_traced_from_its_request_to_its_publication() {
    let collector = Collector::start().await;
    let more = [
        ("OTEL_SERVICE_NAME", "off"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme,authorization=s"),
    ];
    let (plane, _folder) = exporting(&collector.address(), &more).await;
    let mut whole = None;
    for number in 1..=20 {
        let body = json!({ "sub": "alice" });
        let request = plane.admin(Method::POST, "/v1/revocations").json(&body);
        let request = request.header("traceparent", caller(number, "01"));
        let answer = request.header("tracestate", "vendor=mark").send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let answer: serde_json::Value = answer.json().await.unwrap();
        let is_answered =
            |spans: &[Span]| named(&of_trace(spans, number), "POST /v1/revocations").is_some();
        // What publishes it may be one task behind the answer.
        let spans = collector.until(is_answered).await;
        let begin = Instant::now();
        let mut spans = of_trace(&spans, number);
        while named(&spans, "publish").is_none() && begin.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            spans = of_trace(&collector.spans(), number);
        }
        // A record that was read back before its append was answered is folded without its trace.
        if named(&spans, "publish").is_some() {
            whole = Some((spans, id, answer["position"].as_str().unwrap().to_owned()));
            break;
        }
    }
    let (spans, id, position) = whole.expect("a trace that reaches its publication");
    let mut parent = hex("00f067aa0ba902b7");
    for name in ["POST /v1/revocations", "append", "fold", "publish"] {
        let span = named(&spans, name).unwrap_or_else(|| panic!("{name} in {spans:?}"));
        assert_eq!(span.parent_span_id, parent, "{name}");
        assert_eq!(span.trace_state, "vendor=mark", "{name}");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{name}");
        parent = span.span_id.clone();
    }
    let append = named(&spans, "append").unwrap();
    let stored = named(&spans, "store append").unwrap();
    assert_eq!(stored.parent_span_id, append.span_id);
    assert_eq!((spans.len(), number(stored, "offswitch.records")), (5, Some(1)), "{spans:?}");
    let request = named(&spans, "POST /v1/revocations").unwrap();
    assert_eq!(request.kind, SpanKind::Server as i32);
    for (name, expected) in [
        ("http.request.method", "POST"),
        ("http.route", "/v1/revocations"),
        ("offswitch.request_id", id.as_str()),
    ] {
        assert_eq!(attribute(request, name).as_deref(), Some(expected));
    }
    assert_eq!(number(request, "http.response.status_code"), Some(200));
    assert_eq!(attribute(append, "offswitch.position"), Some(position));
    assert_eq!(collector.resource("service.name").as_deref(), Some("off"));
    assert_eq!(collector.header("content-type").as_deref(), Some("application/x-protobuf"));
    assert_eq!(collector.header("x-tenant").as_deref(), Some("acme"));
    assert!(counted(&plane, "exported").await >= 5 && counted(&plane, "dropped").await == 0);
}

// O04: a caller that does not sample is not recorded, and one whose trace is unclear has no say.
#[tokio::test]
async fn only_a_clear_caller_decides_about_its_trace() {
    let collector = Collector::start().await;
    let (plane, _folder) = exporting(&collector.address(), &[]).await;
    let ask = async |parents: &[&str]| {
        let mut request = plane.admin(Method::GET, "/v1/status");
        for parent in parents {
            request = request.header("traceparent", *parent);
        }
        assert!(request.send().await.unwrap().status().is_success());
    };
    let (unsampled, first, second) = (caller(1, "00"), caller(2, "01"), caller(3, "01"));
    ask(&[&unsampled]).await;
    ask(&[&first, &second]).await;
    ask(&["00-zz-yy-01"]).await;
    ask(&[]).await;
    // Neither is a probe.
    plane.request(Method::GET, "/healthz").send().await.unwrap();
    plane.request(Method::GET, "/nowhere").send().await.unwrap();
    let refused = plane.request(Method::GET, "/v1/status").header("traceparent", caller(4, "01"));
    assert_eq!(refused.send().await.unwrap().status(), 401);
    let spans = collector.until(|spans| !of_trace(spans, 4).is_empty()).await;
    for unclear in [1, 2, 3] {
        assert!(of_trace(&spans, unclear).is_empty(), "{unclear}");
    }
    let (others, roots): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| !span.parent_span_id.is_empty());
    assert!(roots.iter().all(|span| span.name == "GET /v1/status"), "{roots:?}");
    assert_eq!((roots.len(), others.len()), (3, 1), "{spans:?}");
    assert_eq!(attribute(others[0], "error.type").as_deref(), Some("missing_api_key"));
    let is_failure =
        |span: &&Span| span.status.as_ref().is_some_and(|one| one.code() == StatusCode::Error);
    assert!(!others.iter().any(is_failure), "what a caller does wrong is no failure");
    assert_eq!(collector.resource("service.name").as_deref(), Some("offswitch"));
}

// O04, A07: what is exported goes to other machines.
#[tokio::test]
async fn neither_secrets_nor_subjects_nor_ids_of_tokens_are_exported() {
    let collector = Collector::start().await;
    let (plane, _folder) = exporting(&collector.address(), &[]).await;
    let user = "subject-of-the-test";
    let opened = plane.posted("/v1/sessions", &json!({ "sub": user })).await;
    let text = |name: &str| opened[name].as_str().unwrap().to_owned();
    let (token, refresh, session_id) =
        (text("access_token"), text("refresh_token"), text("session_id"));
    let key = plane.admin_key().trim().to_owned();
    plane.refreshed(&refresh).await;
    plane.posted("/v1/revocations", &json!({ "token": token, "reason": "free-text" })).await;
    plane
        .posted("/v1/revocations", &json!({ "claims": { "client_id": "client-of-the-test" } }))
        .await;
    plane.form("/oauth/introspect", &[("token", &token)]).await;
    plane.got(&format!("/v1/sessions?sub={user}")).await;
    let path = format!("/v1/users/{user}/sessions");
    // A key in the wrong place, and a method that does not exist.
    let request = plane.admin(Method::DELETE, &path).header("x-request-id", &key);
    assert!(request.send().await.unwrap().status().is_success());
    let method = Method::from_bytes(b"SECRETMETHOD").unwrap();
    plane.admin(method, &format!("/v1/revocations?x={refresh}")).send().await.unwrap();
    let is_last = |spans: &[Span]| named(spans, "_OTHER /v1/revocations").is_some();
    let spans = collector.until(is_last).await;
    assert!(named(&spans, "DELETE /v1/users/{sub}/sessions").is_some(), "{spans:?}");
    assert!(named(&spans, "POST /oauth/token").is_some());
    let jti = peek(&token)["jti"].as_str().unwrap().to_owned();
    let (_, signature) = token.rsplit_once('.').unwrap();
    for secret in [
        key.as_str(),
        &refresh,
        &session_id,
        &jti,
        user,
        signature,
        "free-text",
        "client-of-the-test",
        "SECRETMETHOD",
    ] {
        assert!(!collector.has(secret), "{secret} was exported");
    }
    assert!(collector.has("POST /oauth/token"), "the search finds what is there");
}

// O04, A10: what waits is sent before the process ends, which a collector delays by a second at most.
#[tokio::test]
async fn a_process_that_stops_sends_what_waits() {
    let collector = Collector::start().await;
    let (mut plane, _folder) =
        exporting(&collector.address(), &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    plane.got("/v1/status").await;
    assert!(collector.spans().is_empty(), "nothing was sent yet");
    plane.ask_to_stop();
    plane.until_stopped().await;
    assert!(named(&collector.spans(), "GET /v1/status").is_some());
}

// O04: no request waits for a collector that takes connections and never answers; what has no room is counted.
#[tokio::test]
async fn a_collector_that_hangs_delays_no_request_and_no_stop() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let more = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")];
    let (mut plane, _folder) = exporting(&address, &more).await;
    let held = listener.accept();
    let asked = async {
        // Five times as many as can wait, within the ten seconds that the first batch may take.
        let begin = Instant::now();
        for _ in 0..40 {
            plane.got("/v1/status").await;
        }
        begin.elapsed()
    };
    let (held, took) = tokio::join!(held, asked);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(counted(&plane, "dropped").await >= 16, "the queue has room for eight");
    let begin = Instant::now();
    plane.ask_to_stop();
    plane.until_stopped().await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    drop(held);
}

// O04: an outage of the collector is logged once and counted; a mistake in its variables costs the traces alone.
#[tokio::test]
async fn without_a_collector_the_control_plane_serves_and_says_so_once() {
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let (plane, _folder) = exporting(&nowhere, &[]).await;
    let begin = Instant::now();
    while counted(&plane, "failed").await < 3 {
        plane.got("/v1/status").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", plane.log());
    }
    assert_eq!(plane.log().matches("does not take traces").count(), 1, "{}", plane.log());
    let more =
        [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret")];
    let (plane, _folder) = exporting(&nowhere, &more).await;
    plane.got("/v1/status").await;
    let log = plane.log();
    assert!(log.contains("traces are not exported: OTEL_EXPORTER_OTLP_PROTOCOL"), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

// O04, G01: the guard's answer is a part of the trace that the gateway passes on.
#[tokio::test]
async fn a_check_of_the_guard_is_a_part_of_the_clients_trace() {
    let collector = Collector::start().await;
    let plane = ControlPlane::start().await;
    let (_, token) = session(&plane, "alice", "read").await;
    let address = collector.address();
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", address.as_str()), SOON];
    let tables = issuer_of(&plane) + "[[routes]]\npaths = [\"/**\"]\n";
    let mut guard =
        Guard::launch_with(&feed_of(&plane).await, "gateway = \"nginx\"", &tables, &environment);
    guard.until_ready().await;
    let about = guard.about("GET", "/orders/alice").bearer_auth(&token);
    let answer = about.header("traceparent", caller(1, "01")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", guard.log());
    let spans = collector.until(|spans| !of_trace(spans, 1).is_empty()).await;
    let span = named(&spans, "guard check").unwrap();
    assert_eq!(span.parent_span_id, hex("00f067aa0ba902b7"));
    assert_eq!(attribute(span, "offswitch.verdict").as_deref(), Some("valid"));
    assert!(!collector.has("alice") && !collector.has("orders"), "neither path nor subject");
}

fn hex(text: &str) -> Vec<u8> {
    u64::from_str_radix(text, 16).unwrap().to_be_bytes().to_vec()
}

/// Spans are sent ten times a second.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");
