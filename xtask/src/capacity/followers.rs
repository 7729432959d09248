//! Followers of the stream: how soon a thousand receive a revocation, and the cost of ten thousand
//! idle ones.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{at, system};
use crate::refreshes::server::ControlPlane;

/// When a follower received which seq.
type Heard = Vec<(Instant, u64)>;

/// A thousand followers while 200 revocations per second arrive.
pub(super) async fn busy() -> Result<String> {
    let (_redis, plane) = system().await?;
    let following = tokio::task::spawn_blocking(follow(&plane, 1000, Duration::from_secs(16)));
    sleep(Duration::from_secs(3)).await;
    let client = Client::builder().no_proxy().build()?;
    let mut revokes = JoinSet::new();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    for number in 0..1600_u64 {
        let revoke = client.post(format!("{}/v1/revocations", plane.origin()));
        let revoke =
            revoke.bearer_auth(&plane.admin_key).json(&json!({ "sub": number.to_string() }));
        revokes.spawn(async move {
            let sent = Instant::now();
            let answer: Value = revoke.send().await?.error_for_status()?.json().await?;
            let seq =
                answer["position"].as_str().and_then(|text| text.split_once('.')?.1.parse().ok());
            anyhow::Ok((seq.context("no position")?, sent))
        });
        pace.tick().await;
    }
    let mut sent: Vec<(u64, Instant)> = Vec::new();
    while let Some(revoke) = revokes.join_next().await {
        sent.push(revoke??);
    }
    sent.sort_unstable();
    let mut times = Vec::new();
    for heard in following.await?? {
        let mut next = heard.iter().peekable();
        for (seq, sent) in &sent {
            while next.peek().is_some_and(|(_, reached)| reached < seq) {
                next.next();
            }
            let (heard, _) = next.peek().context("a follower missed a revocation")?;
            times.push(heard.duration_since(*sent));
        }
    }
    times.sort_unstable();
    Ok(format!(
        "revoke to stream follower, 1,000 followers, 200 revokes/s: p50 {:.1} ms, p99 {:.1} ms, \
         max {:.1} ms (goal p99 50 ms)\n",
        at(&times, 50.0).as_secs_f64() * 1e3,
        at(&times, 99.0).as_secs_f64() * 1e3,
        at(&times, 100.0).as_secs_f64() * 1e3
    ))
}

/// Ten thousand followers and no news.
pub(super) async fn idle() -> Result<String> {
    let (_redis, plane) = system().await?;
    sleep(Duration::from_secs(2)).await;
    let before = plane.resident_bytes()?;
    let following = tokio::task::spawn_blocking(follow(&plane, IDLE, Duration::from_secs(25)));
    sleep(Duration::from_secs(20)).await;
    let each = (plane.resident_bytes()?.saturating_sub(before)) as f64 / IDLE as f64;
    let mut gaps = Vec::new();
    for heard in following.await?? {
        ensure!(heard.len() > 3, "a follower got {} heartbeats", heard.len());
        gaps.extend(heard.windows(2).skip(1).map(|pair| pair[1].0.duration_since(pair[0].0)));
    }
    gaps.sort_unstable();
    Ok(format!(
        "{IDLE} idle followers: {:.1} KB each (goal 20), heartbeats every 2 s came after p50 {:.2} s, \
         p99 {:.2} s, max {:.2} s\n",
        each / 1000.0,
        at(&gaps, 50.0).as_secs_f64(),
        at(&gaps, 99.0).as_secs_f64(),
        at(&gaps, 100.0).as_secs_f64()
    ))
}

/// That many streams, read for that long on one thread.
fn follow(
    plane: &ControlPlane,
    count: usize,
    time: Duration,
) -> impl FnOnce() -> Result<Vec<Heard>> + Send + 'static {
    let (port, key) = (plane.port, plane.admin_key.clone());
    move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let end = Instant::now() + time;
            let mut streams = JoinSet::new();
            for number in 0..count {
                streams.spawn(stream(port, key.clone(), end));
                if number % 50 == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            let mut all = Vec::new();
            while let Some(heard) = streams.join_next().await {
                all.push(heard??);
            }
            Ok(all)
        })
    }
}

async fn stream(port: u16, key: String, end: Instant) -> Result<Heard> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!(
        "GET /v1/feed/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let (mut heard, mut buffer) = (Vec::new(), Vec::with_capacity(4096));
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let Ok(read) = timeout(left, stream.read_buf(&mut buffer)).await else { break };
        ensure!(read? > 0, "a stream ended: {}", String::from_utf8_lossy(&buffer));
        let now = Instant::now();
        while let Some(event) = memmem::find(&buffer, b"\n\n") {
            if let Some(id) = memmem::find(&buffer[..event], b"\nid: ") {
                let line = buffer[id + 5..event].split(|byte| *byte == b'\n').next();
                let seq = std::str::from_utf8(line.unwrap_or_default())?.split_once('.');
                heard.push((now, seq.context("no position")?.1.parse()?));
            }
            buffer.drain(..event + 2);
        }
    }
    Ok(heard)
}

const IDLE: usize = 10_000;
