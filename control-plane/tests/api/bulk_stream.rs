//! Bulk revocation as a stream: the server reads line by line, and no accepted line is lost.

use std::convert::Infallible;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use axum::Extension;
use futures_util::stream::unfold;
use offswitch::http::UploadLimits;
use offswitch::server::Limits;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::follower::{Follower, now, peek};
use crate::support::local_server::LocalServer;
use crate::support::process::ControlPlane;
use crate::support::raw_http2::{DATA, END_HEADERS, HEADERS, RawHttp2, authorize, frame, head_of};
use crate::support::redis_server::RedisServer;

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

/// The lines for a count: each call returns the same ones.
fn lines(count: usize) -> String {
    static BEGIN: LazyLock<u64> = LazyLock::new(now);
    let exp = *BEGIN + 600;
    (0..count).map(|one| format!("{{\"jti\":\"line-{one}\",\"exp\":{exp}}}\n")).collect()
}

// Several records of a thousand lines, a blank line, CRLF, and a last line without a line end.
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

// Line 1,501 is wrong: all lines before it are durable, and the caller learns where to continue.
#[tokio::test]
async fn a_wrong_line_is_reported_and_the_lines_before_it_stay_revoked() {
    let plane = ControlPlane::start().await;
    for (wrong, code) in [
        ("{\"jti\":\"\"}", "invalid_revocation"),
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
    let reported = problem(upload(&plane, long).send().await.unwrap(), 400, "invalid_body").await;
    assert_eq!(reported["line"], 1);
    problem(upload(&plane, "\n\n").send().await.unwrap(), 400, "invalid_body").await;
}

// The client repeats an interrupted upload: the server recognizes its records by their numbers.
#[tokio::test]
async fn an_upload_that_is_repeated_with_its_key_appends_nothing_twice() {
    let plane = ControlPlane::start().await;
    let send = |body: String| upload(&plane, body).header("idempotency-key", "night").send();
    let first: Value = send(lines(2500)).await.unwrap().json().await.unwrap();
    let again: Value = send(lines(2500)).await.unwrap().json().await.unwrap();
    assert_eq!(first["position"], again["position"]);
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    let other = lines(2500).replace("line-2000", "line-other");
    let reported = problem(send(other).await.unwrap(), 422, "idempotency_key_reused").await;
    assert_eq!(reported["accepted"], 2000);
}

// The same lines with another reason are another request, as they are in JSON.
#[tokio::test]
async fn the_reason_is_part_of_the_request_that_an_idempotency_key_names() {
    let plane = ControlPlane::start().await;
    let send = async |reason: &str| {
        let path = format!("/v1/revocations{reason}");
        let request = plane.admin(Method::POST, &path).header("idempotency-key", "why");
        let request = request.header("content-type", "application/x-ndjson").body(lines(1500));
        request.send().await.unwrap()
    };
    let first: Value = send("?reason=theft").await.json().await.unwrap();
    let again: Value = send("?reason=theft").await.json().await.unwrap();
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    assert_eq!(first["position"], again["position"]);
    for other in ["", "?reason=loss"] {
        let reported = problem(send(other).await, 422, "idempotency_key_reused").await;
        assert_eq!((&reported["accepted"], &reported["line"]), (&json!(0), &json!(1)));
    }
}

// A longer upload continues after the end of the first one, so it is not a repetition.
#[tokio::test]
async fn an_upload_counts_as_repeated_only_if_all_its_records_were() {
    let plane = ControlPlane::start().await;
    let exp = now() + 600;
    let line = |one: usize| format!("{{\"jti\":\"line-{one}\",\"exp\":{exp}}}\n");
    let lines = |count: usize| (0..count).map(line).collect::<String>();
    let send = async |body: String| {
        let answer = upload(&plane, body).header("idempotency-key", "on").send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let first = send(lines(2000)).await;
    let more = send(lines(3000)).await;
    assert_eq!((&more["accepted"], &more["repeated"]), (&json!(3000), &json!(false)));
    assert_ne!(first["position"], more["position"]);
    assert_eq!(send(lines(3000)).await["repeated"], true);
    // The first part alone gets its own position.
    let beginning = send(lines(2000)).await;
    assert_eq!(
        (&beginning["position"], &beginning["repeated"]),
        (&first["position"], &json!(true))
    );
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

// The second record is refused: the problem names its first line, so that a caller who continues
// there misses no line. The first record stays.
#[tokio::test]
async fn a_record_that_fails_is_reported_by_its_first_line() {
    let change = |settings: &mut offswitch::plane::Settings| settings.log.max_entries = 1500;
    let server = LocalServer::start_with(Limits::default(), change).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(server.url("/v1/revocations")).bearer_auth(server.admin_key());
    let request = request.header("content-type", "application/x-ndjson").body(lines(3000));
    let reported = problem(request.send().await.unwrap(), 507, "too_many_entries").await;
    assert_eq!((&reported["accepted"], &reported["line"]), (&json!(1000), &json!(1001)));
}

// The server does not read ten million and one empty lines to their end.
#[tokio::test]
async fn empty_lines_count_against_the_limit_of_lines() {
    let plane = ControlPlane::start().await;
    let answer = upload(&plane, "\n".repeat(10_000_001)).send().await.unwrap();
    problem(answer, 400, "too_many_revocations").await;
}

// Several records are written at the same time, but dead keys never exceed their limit: the server
// counts the second thousand only when the first is in the log.
#[tokio::test]
async fn dead_keys_are_counted_across_the_records_of_a_stream() {
    let server = LocalServer::start(Limits::default()).await;
    let keys = |record: usize| {
        let key = move |one: usize| format!("{{\"issuer\":\"a\",\"kid\":\"k-{record}-{one}\"}}\n");
        (0..40).map(key).collect::<String>() + &lines(960)
    };
    let body = lines(2000) + &keys(0) + &keys(1) + &lines(1000);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let put = client.put(server.url("/v1/issuers/idp")).bearer_auth(server.admin_key());
    let issuer = serde_json::json!({ "issuer": "a", "jwks_uri": "https://a.example/keys" });
    assert_eq!(put.json(&issuer).send().await.unwrap().status(), 200);
    let request = client.post(server.url("/v1/revocations")).bearer_auth(server.admin_key());
    let request = request.header("content-type", "application/x-ndjson").body(body);
    let reported = problem(request.send().await.unwrap(), 409, "too_many_dead_keys").await;
    assert_eq!((&reported["accepted"], &reported["line"]), (&json!(3000), &json!(3001)));
}

// The store fails in the middle of a long upload: the answer names the first line that is not
// confirmed, and counts all lines before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_failure_during_an_upload_is_reported_with_its_line() {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::start(redis.port()).await;
    let folder = tempfile::tempdir().unwrap();
    let plane = ControlPlane::start_in(folder.path(), &[("OFFSWITCH_STORE", &proxy.url())]).await;
    let (sender, pieces) = mpsc::channel(1);
    let pieces = unfold(pieces, async |mut pieces: mpsc::Receiver<String>| {
        Some((Ok::<_, Infallible>(pieces.recv().await?), pieces))
    });
    let answer = tokio::spawn(upload(&plane, reqwest::Body::wrap_stream(Box::pin(pieces))).send());
    sender.send(lines(3000)).await.unwrap();
    while plane.got("/v1/revocations").await["requests"].as_array().unwrap().len() < 3 {
        sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Fault::Dead);
    sender.send(lines(3000)).await.unwrap();
    let answer = answer.await.unwrap().unwrap();
    let reported = problem(answer, 503, "store_unavailable").await;
    assert_eq!((&reported["accepted"], &reported["line"]), (&json!(3000), &json!(3001)));
}

// A wrong line is at the beginning of a large upload: the server answers before the client has sent
// everything. The answer also reaches a client that reads nothing before it has sent everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_a_wrong_line_reaches_a_client_that_still_sends() {
    let server = LocalServer::start(Limits::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let body = format!("{}[]\n{}", lines(1), lines(400_000));
    let file = folder.path().join("lines");
    std::fs::write(&file, &body).unwrap();
    for expect in ["Expect:", "Expect: 100-continue"] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--header", expect]);
        curl.arg("--header").arg(format!("authorization: Bearer {}", server.admin_key()));
        curl.args(["--header", "content-type: application/x-ndjson", "--data-binary"]);
        curl.arg(format!("@{}", file.display())).arg(server.url("/v1/revocations"));
        let answer = curl.output().await.unwrap();
        let reported = String::from_utf8_lossy(&answer.stdout);
        assert!(
            reported.contains("\"line\":2"),
            "{reported} {}",
            String::from_utf8_lossy(&answer.stderr)
        );
    }
    let mut connection = server.connect().await;
    let head = chunked(&server);
    connection.write_all(head.as_bytes()).await.unwrap();
    for piece in body.as_bytes().chunks(50_000) {
        connection.write_all(&chunk(piece)).await.unwrap();
        sleep(Duration::from_micros(200)).await;
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    let reported = answered(&mut connection).await;
    assert!(reported.starts_with("HTTP/1.1 400") && reported.contains("\"line\":2"), "{reported}");
}

// A client that stops in the middle gets an error with the accepted count; a slow client does not.
#[tokio::test]
async fn an_upload_that_stops_times_out_and_a_slow_one_is_served() {
    let server = impatient().await;
    let line = lines(1);
    let begin = Instant::now();
    let mut connection = server.connect().await;
    connection.write_all(chunked(&server).as_bytes()).await.unwrap();
    connection.write_all(&chunk(line.as_bytes())).await.unwrap();
    let reported = answered(&mut connection).await;
    assert!(
        reported.starts_with("HTTP/1.1 408") && reported.contains("body_too_slow"),
        "{reported}"
    );
    assert!(reported.contains("\"accepted\":1,\"line\":1"), "{reported}");
    assert!(begin.elapsed() < Duration::from_secs(10));
    let mut connection = server.connect().await;
    connection.write_all(chunked(&server).as_bytes()).await.unwrap();
    for piece in line.as_bytes().chunks(8) {
        connection.write_all(&chunk(piece)).await.unwrap();
        sleep(IDLE / 3).await;
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    let reported = answered(&mut connection).await;
    assert!(
        reported.starts_with("HTTP/1.1 200") && reported.contains("\"accepted\":1"),
        "{reported}"
    );
}

// An HTTP/2 client can send empty frames for ever. The h2 crate passes none of them on; if it did,
// each one would restart the time limit.
#[tokio::test]
async fn empty_data_frames_do_not_extend_the_time_limit() {
    let server = impatient().await;
    let mut connection = RawHttp2::begin(server.connect().await).await;
    let mut block = head_of(0x83, "/v1/revocations", "application/x-ndjson");
    authorize(&mut block, server.admin_key());
    connection.0.write_all(&frame(HEADERS, END_HEADERS, 1, &block)).await.unwrap();
    connection.0.write_all(&frame(DATA, 0, 1, lines(1).as_bytes())).await.unwrap();
    let begin = Instant::now();
    let reported = loop {
        assert!(begin.elapsed() < 10 * IDLE, "empty frames keep an upload open");
        let _ = connection.0.write_all(&frame(DATA, 0, 1, b"")).await;
        let Ok(frame) = timeout(IDLE / 5, connection.next()).await else { continue };
        let frame = frame.unwrap();
        if frame.kind == DATA {
            break String::from_utf8(frame.payload).unwrap();
        }
    };
    assert!(reported.contains("body_too_slow"), "{reported}");
}

/// A server that waits only briefly for more of an upload.
async fn impatient() -> LocalServer {
    let limits = UploadLimits { idle_timeout: IDLE };
    let layer = |router: axum::Router| router.layer(Extension(limits));
    LocalServer::start_layered(Limits::default(), |_| (), layer).await
}

/// The header of an upload in chunks.
fn chunked(server: &LocalServer) -> String {
    format!(
        "POST /v1/revocations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\n\
         content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n",
        server.admin_key()
    )
}

fn chunk(content: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", content.len()).as_bytes(), content, b"\r\n"].concat()
}

/// The first bytes of the answer.
async fn answered(connection: &mut tokio::net::TcpStream) -> String {
    let mut answer = [0; 2048];
    let length = timeout(Duration::from_secs(20), connection.read(&mut answer)).await;
    String::from_utf8_lossy(&answer[..length.unwrap().unwrap()]).into_owned()
}

const IDLE: Duration = Duration::from_secs(1);
