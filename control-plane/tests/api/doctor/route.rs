//! `POST /v1/doctor`: the same checks, and what a caller cannot make the control plane do. O06.

use std::collections::BTreeSet;
use std::time::Instant;

use super::*;

/// A control plane that may show a token to these addresses, and a provider that is registered there.
async fn started_with(edges: &str) -> (ControlPlane, Provider, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let environment = [("OFFSWITCH_DOCTOR_EDGES", edges)];
    let plane = ControlPlane::start_in(folder.path(), &environment).await;
    let provider = Provider::start().await;
    register(&plane, &provider, &json!({})).await;
    (plane, provider, folder)
}

async fn asked(plane: &ControlPlane, body: &Value) -> (u16, Value) {
    let answer = plane.post("/v1/doctor", body).await;
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(!text.contains("osk_") && !text.contains("eyJ"), "no key and no token: {text}");
    (status, serde_json::from_str(&text).unwrap())
}

fn results(checks: &[Value]) -> BTreeSet<String> {
    let line = |one: &Value| format!("{} {} {}", one["check"], one["subject"], one["result"]);
    checks.iter().map(line).collect()
}

fn found<'a>(report: &'a Value, check: &str) -> &'a Value {
    let mut checks = report["checks"].as_array().unwrap().iter();
    checks.find(|one| one["check"] == check).unwrap_or_else(|| panic!("{check} in {report}"))
}

/// An address that takes connections and never answers.
async fn silent() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            held.push(connection);
        }
    });
    format!("http://{address}")
}

async fn register_silent(plane: &ControlPlane, name: &str) {
    let issuer = silent().await;
    let body = json!({ "issuer": issuer, "horizon_seconds": 3600 });
    let path = format!("/v1/issuers/{name}");
    assert!(
        plane.admin(Method::PUT, &path).json(&body).send().await.unwrap().status().is_success()
    );
}

// O06: the command and the route have one implementation. The clock is that of the same machine.
#[tokio::test]
async fn the_route_finds_what_the_command_finds() {
    let (plane, provider) = started().await;
    let token = signed(&provider, &claims(&provider));
    let (_kept, name) = file(&token);
    for (body, arguments) in [
        (json!({}), vec![]),
        (
            json!({ "issuer": "idp", "token": token }),
            vec!["--issuer", "idp", "--token-file", &name],
        ),
        (json!({ "issuer": "nobody" }), vec!["--issuer", "nobody"]),
    ] {
        let (status, report) = asked(&plane, &body).await;
        let mut of_command = results(&examined(&plane, &arguments).await.checks);
        assert!(of_command.remove("\"clock\" null \"ok\""), "{of_command:?}");
        assert_eq!((status, results(report["checks"].as_array().unwrap())), (200, of_command));
    }
    let (_, report) = asked(&plane, &json!({ "token": token })).await;
    assert_eq!(
        (&report["result"], &found(&report, "token")["result"]),
        (&json!("ok"), &json!("ok"))
    );
    provider.answer(Keys::Broken);
    let (_, report) = asked(&plane, &json!({})).await;
    let keys = (&report["result"], &found(&report, "key_set")["result"]);
    assert_eq!(keys, (&json!("failed"), &json!("failed")));
    assert!(
        !plane.log().contains(&token) && !plane.log().contains("osk_"),
        "not in the log either"
    );
}

// O06, A08: the revocation is that of the caller, also in the audit log.
#[tokio::test]
async fn a_token_is_revoked_and_its_refusal_is_timed_at_a_configured_edge() {
    let edge = edge(2).await;
    let (plane, provider, _folder) = started_with(&format!("https://other.example/ {edge}")).await;
    let token = signed(&provider, &claims(&provider));
    let body = json!({ "issuer": "idp", "token": token, "sacrifice": true, "edge": edge });
    let (status, report) = asked(&plane, &body).await;
    assert_eq!((status, &report["result"]), (200, &json!("ok")), "{report}");
    assert!(found(&report, "edge_refusal")["milliseconds"].as_u64().unwrap() < 30_000);
    let listed = plane.got("/v1/revocations").await;
    let (request, own) = (&listed["requests"][0], plane.got("/v1/status").await);
    assert_eq!(
        (&request["by"], &request["reason"]),
        (&own["key"]["id"], &json!("offswitch doctor"))
    );
    let lines = plane.audited();
    let lines: Vec<_> = lines.iter().filter(|line| line["operation"] == "revoke").collect();
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["by"], &lines[0]["source"]), (&own["key"]["id"], &json!("127.0.0.1")));
    assert!(!plane.log().contains(&token));
}

// O06: callers do not choose what the control plane connects to, nor what may be revoked.
#[tokio::test]
async fn what_a_caller_may_not_ask_for_is_refused_before_anything_is_asked() {
    let asked_of_edge = Arc::new(AtomicUsize::new(0));
    let counted = asked_of_edge.clone();
    let answer = any(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let edge = format!("http://{}/me", listener.local_addr().unwrap());
    let router = Router::new().fallback_service(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let (plane, provider, _folder) = started_with(&edge).await;
    let token = signed(&provider, &claims(&provider));
    let before = plane.got("/readyz").await["position"].clone();
    let other = edge.replace("/me", "/other");
    let long = "x".repeat(16 * 1024 + 1);
    for (body, code) in [
        (json!({ "token": token, "sacrifice": true, "edge": other }), "edge_not_configured"),
        (
            json!({ "token": token, "sacrifice": true, "edge": "http://169.254.169.254/" }),
            "edge_not_configured",
        ),
        (
            json!({ "token": token, "sacrifice": true, "edge": "file:///etc/passwd" }),
            "invalid_examination",
        ),
        (
            json!({ "token": token, "sacrifice": true, "edge": edge.replace("//", "//a:b@") }),
            "invalid_examination",
        ),
        (json!({ "token": token, "edge": edge }), "invalid_examination"),
        (json!({ "token": token, "sacrifice": true }), "invalid_examination"),
        (json!({ "sacrifice": true, "edge": edge }), "invalid_examination"),
        (json!({ "token": "" }), "invalid_examination"),
        (json!({ "token": long }), "invalid_examination"),
        (json!({ "url": other }), "invalid_body"),
        (json!([]), "invalid_body"),
    ] {
        let (status, problem) = asked(&plane, &body).await;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{problem}");
    }
    let made =
        plane.posted("/v1/api-keys", &json!({ "name": "x", "scopes": ["doctor:run"] })).await;
    let request =
        plane.request(Method::POST, "/v1/doctor").bearer_auth(made["key"].as_str().unwrap());
    let body = json!({ "token": token, "sacrifice": true, "edge": edge });
    let answer = request.try_clone().unwrap().json(&body).send().await.unwrap();
    assert_eq!(answer.status(), 403);
    // Nor does its scope open what it reads: the checks are done with the key of the caller.
    let report: Value = request.json(&json!({})).send().await.unwrap().json().await.unwrap();
    let key = found(&report, "api_key");
    assert!(key["result"] == "failed" && key["detail"].as_str().unwrap().contains("feed:read"));
    assert_eq!(found(&report, "feed")["result"], "failed");
    assert_eq!(asked_of_edge.load(Ordering::SeqCst), 0);
    assert_eq!(plane.got("/readyz").await["position"], before, "nothing was revoked");
}

// O06
#[tokio::test]
async fn one_examination_is_done_at_a_time_and_one_that_is_given_up_makes_room() {
    let (plane, _provider, _folder) = started_with("").await;
    register_silent(&plane, "silent").await;
    let long = plane.admin(Method::POST, "/v1/doctor").json(&json!({})).send();
    let long = tokio::spawn(long);
    // It takes 5 s: this is in the midst of them.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let body = json!({ "issuer": "idp" });
    let refused = plane.admin(Method::POST, "/v1/doctor").json(&body).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), refused.headers()["retry-after"].as_bytes()),
        (429, &b"1"[..])
    );
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "doctor_busy");
    long.abort();
    let begin = Instant::now();
    while asked(&plane, &json!({ "issuer": "idp" })).await.0 != 200 {
        assert!(
            begin.elapsed() < Duration::from_secs(3),
            "the first one has ended with its caller"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// O06: thirteen issuers that never answer would take 65 s.
#[tokio::test]
async fn an_examination_ends_after_fifty_seconds_with_what_is_known() {
    let (plane, _provider, _folder) = started_with("").await;
    for name in "abcdefghijklm".chars() {
        register_silent(&plane, &name.to_string()).await;
    }
    let begin = Instant::now();
    let (status, report) = asked(&plane, &json!({})).await;
    let seconds = begin.elapsed().as_secs();
    assert!((49..=54).contains(&seconds) && status == 200, "{seconds} s, {report}");
    assert_eq!(
        (&report["result"], &found(&report, "time")["result"]),
        (&json!("failed"), &json!("failed"))
    );
    assert_eq!(found(&report, "feed")["result"], "ok");
}
