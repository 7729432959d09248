//! Bulk revocation as a stream: a line at a time, and nothing that was accepted is lost.

use offswitch::server::Limits;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::support::follower::{Follower, now, peek};
use crate::support::local_server::LocalServer;
use crate::support::process::ControlPlane;

fn upload(plane: &ControlPlane, body: impl Into<reqwest::Body>) -> RequestBuilder {
    let request = plane.request(Method::POST, "/v1/revocations").bearer_auth(plane.admin_key());
    request.header("content-type", "application/x-ndjson").body(body)
}

async fn problem(answer: Response, status: u16, code: &str) -> Value {
    let found = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{body}");
    body
}

fn lines(count: usize) -> String {
    let exp = now() + 600;
    (0..count).map(|one| format!("{{\"jti\":\"line-{one}\",\"exp\":{exp}}}\n")).collect()
}

// Many records of a thousand, a blank line, CRLF, and a last line without its end.
#[tokio::test]
async fn each_line_of_a_stream_is_revoked_and_counted() {
    let plane = ControlPlane::start().await;
    let mut follower = Follower::start(&plane, &plane.issuer()).await;
    let session = plane.posted("/v1/sessions", &json!({ "sub": "alice" })).await;
    let token = session["access_token"].as_str().unwrap().to_owned();
    let last = json!({ "jti": peek(&token)["jti"], "exp": peek(&token)["exp"] });
    let body = format!("\n{}\r\n\r\n{last}", lines(25_000).replace('\n', "\r\n"));
    let answer = upload(&plane, body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((&answer["accepted"], &answer["durability"]), (&json!(25_001), &json!("synced")));
    follower.follow(&plane).await;
    assert_eq!(follower.judge(&token), "revoked_token");
}

// Line 1,501 is wrong: all lines before it are durable, and the caller learns where to go on.
#[tokio::test]
async fn a_wrong_line_is_named_and_what_was_accepted_before_it_stays() {
    let plane = ControlPlane::start().await;
    for (wrong, code) in [
        ("{\"jti\":\"a\"}", "invalid_body"),
        ("{\"jti\":", "invalid_body"),
        ("{\"sub\":\"a\",\"colour\":1}", "invalid_body"),
        ("[1]", "invalid_body"),
    ] {
        let body = format!("{}{wrong}\n{}", lines(1500), lines(3));
        let problem = problem(upload(&plane, body).send().await.unwrap(), 400, code).await;
        assert_eq!((&problem["accepted"], &problem["line"]), (&json!(1500), &json!(1501)));
    }
    let mended = |body: String| upload(&plane, body).header("idempotency-key", "mended").send();
    let wrong = format!("{}{{\n{}", lines(1500), lines(3));
    problem(mended(wrong).await.unwrap(), 400, "invalid_body").await;
    let whole: Value = mended(lines(2000)).await.unwrap().json().await.unwrap();
    assert_eq!(whole["accepted"], 2000);
    let not_utf8 = [b"{\"jti\":\"".as_slice(), &[0xff, 0xfe], b"\",\"exp\":1}\n"].concat();
    problem(upload(&plane, not_utf8).send().await.unwrap(), 400, "invalid_body").await;
    let long = format!("{{\"jti\":\"{}", "x".repeat(70_000));
    let told = problem(upload(&plane, long).send().await.unwrap(), 400, "invalid_body").await;
    assert_eq!(told["line"], 1);
    problem(upload(&plane, "\n\n").send().await.unwrap(), 400, "invalid_body").await;
}

// The upload was cut off and is sent again: its records are known by their numbers.
#[tokio::test]
async fn an_upload_that_is_repeated_with_its_key_appends_nothing_twice() {
    let plane = ControlPlane::start().await;
    let send = |body: String| upload(&plane, body).header("idempotency-key", "night").send();
    let first: Value = send(lines(2500)).await.unwrap().json().await.unwrap();
    let again: Value = send(lines(2500)).await.unwrap().json().await.unwrap();
    assert_eq!(first["position"], again["position"]);
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    let other = lines(2500).replace("line-2000", "line-other");
    let told = problem(send(other).await.unwrap(), 422, "idempotency_key_reused").await;
    assert_eq!(told["accepted"], 2000);
}

#[tokio::test]
async fn a_stream_needs_the_scope_and_its_reason_has_a_limit() {
    let plane = ControlPlane::start().await;
    let request = plane.request(Method::POST, "/v1/revocations").body(lines(1));
    let request = request.header("content-type", "application/x-ndjson");
    problem(request.send().await.unwrap(), 401, "missing_api_key").await;
    let path = format!("/v1/revocations?reason={}", "x".repeat(501));
    let request = plane.request(Method::POST, &path).bearer_auth(plane.admin_key());
    let request = request.header("content-type", "application/x-ndjson").body(lines(1));
    problem(request.send().await.unwrap(), 400, "invalid_revocation").await;
    let request = plane.request(Method::POST, "/v1/revocations?reason=why");
    let request = request.bearer_auth(plane.admin_key()).json(&json!({ "sub": "a" }));
    problem(request.send().await.unwrap(), 400, "invalid_query").await;
}

// The second record is refused: the problem names its first line, so that whoever goes on there misses
// nothing, and the first record stays.
#[tokio::test]
async fn a_record_that_fails_is_named_by_its_first_line() {
    let change = |settings: &mut offswitch::plane::Settings| settings.max_entries = 1500;
    let server = LocalServer::start_with(Limits::default(), change).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(server.url("/v1/revocations")).bearer_auth(server.admin_key());
    let request = request.header("content-type", "application/x-ndjson").body(lines(3000));
    let told = problem(request.send().await.unwrap(), 507, "too_many_entries").await;
    assert_eq!((&told["accepted"], &told["line"]), (&json!(1000), &json!(1001)));
}

// Ten million and one empty lines: they are not read to the end of time.
#[tokio::test]
async fn lines_have_a_limit_even_if_they_are_empty() {
    let plane = ControlPlane::start().await;
    let answer = upload(&plane, "\n".repeat(10_000_001)).send().await.unwrap();
    problem(answer, 400, "too_many_revocations").await;
}
