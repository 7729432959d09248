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

use super::system;
use crate::bench::figure::{Figure, Unit};
use crate::bench::scale::scale;
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
pub(super) async fn busy() -> Result<Vec<Figure>> {
    let (_redis, plane) = system().await?;
    let (time, followers) = (scale().waits(16.0) + GRACE, scale().followers);
    let following = tokio::task::spawn_blocking(follow(Address::of(&plane), followers, time));
    sleep(scale().waits(3.0)).await;
    let revokes = (1600.0 * scale().patience) as u64;
    let sent = revoke(&plane, revokes, Duration::from_millis(5)).await?;
    let times = delays(&following.await??, &sent)?;
    let what = format!("revoke to stream follower, {followers} followers, 200 revokes/s");
    Ok(percentiles(&what, &times, [None, Some(50e6)]))
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

/// How long each revocation took to each follower, in the order of the revocations.
pub(super) fn delays(all: &[Heard], sent: &[(u64, Instant)]) -> Result<Vec<Duration>> {
    let mut times = vec![Vec::new(); sent.len()];
    for heard in all {
        let mut next = heard.iter().peekable();
        for ((seq, sent), times) in sent.iter().zip(&mut times) {
            while next.peek().is_some_and(|(_, reached)| reached < seq) {
                next.next();
            }
            let (heard, _) = next.peek().context("a follower missed a revocation")?;
            times.push(heard.duration_since(*sent));
        }
    }
    Ok(times.concat())
}

/// The 50th and the 99th percentile of times, each with its goal in nanoseconds.
pub(super) fn percentiles(what: &str, times: &[Duration], goals: [Option<f64>; 2]) -> Vec<Figure> {
    let max = times.iter().max().copied().unwrap_or_default();
    let figures = [50.0, 99.0].into_iter().zip(goals).map(|(percent, goal)| {
        let figure = Figure::of_times(what, times, percent, scale().rounds);
        let figure =
            figure.more(format!("max {}", Unit::Nanoseconds.written(max.as_secs_f64() * 1e9)));
        match goal {
            Some(goal) => figure.at_most(goal),
            None => figure,
        }
    });
    figures.collect()
}

/// Ten thousand followers and no news.
pub(super) async fn idle() -> Result<Vec<Figure>> {
    let (_redis, plane) = system().await?;
    let followers = scale().idle_followers;
    sleep(scale().waits(2.0)).await;
    let before = plane.resident_bytes()?;
    let (connected, end) = (scale().waits(20.0), scale().waits(25.0).max(SOME_HEARTBEATS));
    let following = tokio::task::spawn_blocking(follow(Address::of(&plane), followers, end));
    sleep(connected).await;
    let each = (plane.resident_bytes()?.saturating_sub(before)) as f64 / followers as f64;
    let mut gaps = Vec::new();
    for heard in following.await?? {
        ensure!(heard.len() > 2, "a follower got {} heartbeats", heard.len());
        gaps.extend(heard.windows(2).skip(1).map(|pair| pair[1].0.duration_since(pair[0].0)));
    }
    let memory =
        Figure::new(&format!("each of {followers} idle followers"), Unit::Bytes, vec![each]);
    let mut figures = vec![memory.at_most(20_000.0)];
    let what = format!("between heartbeats every 2 s, {followers} idle followers");
    figures.extend(percentiles(&what, &gaps, [None; 2]));
    Ok(figures)
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

/// What followers wait for the last revocation, after the usual time.
pub(super) const GRACE: Duration = Duration::from_secs(1);
const SOME_HEARTBEATS: Duration = Duration::from_millis(5500);
