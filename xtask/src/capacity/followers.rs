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
pub(super) type Heard = Vec<(Instant, u64)>;

/// Where a feed is followed, and with which API key.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) port: u16,
    pub(super) key: Option<String>,
}

impl Address {
    pub(super) fn of(plane: &ControlPlane) -> Self {
        Self { port: plane.port, key: Some(plane.admin_key.clone()) }
    }
}

/// A thousand followers while 200 revocations per second arrive.
pub(super) async fn busy() -> Result<String> {
    let (_redis, plane) = system().await?;
    let time = Duration::from_secs(16);
    let following = tokio::task::spawn_blocking(follow(Address::of(&plane), 1000, time));
    sleep(Duration::from_secs(3)).await;
    let sent = revoke(&plane, 1600, Duration::from_millis(5)).await?;
    let times = delays(&following.await??, &sent)?;
    Ok(format!(
        "revoke to stream follower, 1,000 followers, 200 revokes/s: {} (goal p99 50 ms)\n",
        in_milliseconds(&times)
    ))
}

/// Revokes that many users, one each `pace`; returns which seq was sent when.
pub(super) async fn revoke(
    plane: &ControlPlane,
    count: u64,
    pace: Duration,
) -> Result<Vec<(u64, Instant)>> {
    let client = Client::builder().no_proxy().build()?;
    let mut revokes = JoinSet::new();
    let mut pace = tokio::time::interval(pace);
    for number in 0..count {
        pace.tick().await;
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
    }
    let mut sent: Vec<(u64, Instant)> = Vec::new();
    while let Some(revoke) = revokes.join_next().await {
        sent.push(revoke??);
    }
    sent.sort_unstable();
    Ok(sent)
}

/// How long each revocation took to each follower, the shortest time first.
pub(super) fn delays(all: &[Heard], sent: &[(u64, Instant)]) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for heard in all {
        let mut next = heard.iter().peekable();
        for (seq, sent) in sent {
            while next.peek().is_some_and(|(_, reached)| reached < seq) {
                next.next();
            }
            let (heard, _) = next.peek().context("a follower missed a revocation")?;
            times.push(heard.duration_since(*sent));
        }
    }
    times.sort_unstable();
    Ok(times)
}

/// Three percentiles of sorted times.
pub(super) fn in_milliseconds(times: &[Duration]) -> String {
    let milliseconds = |percent| at(times, percent).as_secs_f64() * 1e3;
    let [median, most, max] = [50.0, 99.0, 100.0].map(milliseconds);
    format!("p50 {median:.1} ms, p99 {most:.1} ms, max {max:.1} ms")
}

/// Ten thousand followers and no news.
pub(super) async fn idle() -> Result<String> {
    let (_redis, plane) = system().await?;
    sleep(Duration::from_secs(2)).await;
    let before = plane.resident_bytes()?;
    let following =
        tokio::task::spawn_blocking(follow(Address::of(&plane), IDLE, Duration::from_secs(25)));
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
pub(super) fn follow(
    address: Address,
    count: usize,
    time: Duration,
) -> impl FnOnce() -> Result<Vec<Heard>> + Send + 'static {
    move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let end = Instant::now() + time;
            let mut streams = JoinSet::new();
            for number in 0..count {
                streams.spawn(stream(address.clone(), end));
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

async fn stream(Address { port, key }: Address, end: Instant) -> Result<Heard> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
    let request = format!("GET /v1/feed/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{key}\r\n");
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

pub(super) const IDLE: usize = 10_000;
