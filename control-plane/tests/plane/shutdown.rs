//! Being asked to stop, in the middle of work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::process::ControlPlane;

// A10: what was acknowledged is there after the next start; clients that stand still, or follow the
// stream, hold the process up for ten seconds at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_asked_to_stop_finishes_what_it_acknowledges() {
    let folder = tempfile::tempdir().unwrap();
    let plane = Arc::new(ControlPlane::start_in(folder.path(), &[]).await);
    let mut stalled = TcpStream::connect(("127.0.0.1", plane.port())).await.unwrap();
    stalled.write_all(b"POST /v1/revocations HTTP/1.1\r\nhost: a\r\ncont").await.unwrap();
    let stream = plane.admin(reqwest::Method::GET, "/v1/feed/stream").send().await.unwrap();
    let mut lanes = JoinSet::new();
    for lane in 0..16 {
        let plane = Arc::clone(&plane);
        lanes.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                let sub = format!("user-{lane}-{number}");
                let request = plane.admin(reqwest::Method::POST, "/v1/revocations");
                match request.json(&json!({ "sub": sub })).send().await {
                    Ok(answer) if answer.status().is_success() => acknowledged.push(sub),
                    Ok(answer) => panic!("{}", answer.status()),
                    Err(_) => return acknowledged,
                }
            }
            acknowledged
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    plane.ask_to_stop();
    let acknowledged = lanes.join_all().await.concat();
    let mut plane = Arc::into_inner(plane).unwrap();
    plane.until_stopped().await;
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    drop((stalled, stream, plane));
    assert!(acknowledged.len() > 10, "there was load");

    let plane = ControlPlane::start_in(folder.path(), &[]).await;
    let mut listed = std::collections::HashSet::new();
    let mut query = "?limit=100".to_owned();
    loop {
        let page = plane.got(&format!("/v1/revocations{query}")).await;
        for request in page["requests"].as_array().unwrap() {
            listed.insert(request["revocations"][0]["sub"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_u64() else { break };
        query = format!("?limit=100&before={next}");
    }
    let lost: Vec<_> = acknowledged.iter().filter(|sub| !listed.contains(*sub)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
