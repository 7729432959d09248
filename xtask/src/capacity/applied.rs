//! Revocations that wait until a thousand followers of the stream hold them, and what those followers cost others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::followers::{Address, percentiles};
use crate::bench::figure::{Figure, Unit, median, ratios};
use crate::bench::scale::scale;
use crate::refreshes::server::{ControlPlane, Redis};
use crate::tools::target_dir;

/// On both stores: how long the answers take that wait, and how long those take that do not, with and without followers.
pub(super) async fn waiting() -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for store in ["embedded", "Redis"] {
        figures.extend(on(store).await?);
    }
    Ok(figures)
}

async fn on(store: &str) -> Result<Vec<Figure>> {
    let (followed, alone) = (Measured::start(store).await?, Measured::start(store).await?);
    let address = Address::of(&followed.plane);
    let is_over = Arc::new(AtomicBool::new(false));
    let until = is_over.clone();
    let following = tokio::task::spawn_blocking(move || follow(&address, &until));
    sleep(scale().waits(4.0)).await;
    let (followers, revocations) = (scale().followers, scale().revocations);
    let (mut waited, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
    // The first ones fill caches; then they take turns, so that the machine is the same for all.
    for round in 0..revocations + WARM_UP {
        let is_measured = round >= WARM_UP;
        let (time, answer) = followed.revoke("?wait=applied&timeout=5").await?;
        let applied = &answer["applied"];
        let counts = [&applied["followers"], &applied["holding"]];
        ensure!(counts == [followers, followers] && applied["complete"] == true, "{applied}");
        waited.extend(is_measured.then_some(time));
        sleep(PAUSE).await;
        // Which of the two is first changes.
        for is_followed in [round % 2 == 0, round % 2 != 0] {
            let (plane, times) =
                if is_followed { (&followed, &mut with) } else { (&alone, &mut without) };
            let (time, _) = plane.revoke("").await?;
            times.extend(is_measured.then_some(time));
            sleep(PAUSE).await;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    following.await??;
    let what = format!("{store}: revoke with wait=applied, {followers} stream followers");
    let mut figures = percentiles(&what, &waited, [Some(40e6), Some(100e6)]);
    let (with, without) = (medians(&with), medians(&without));
    let figure = Figure::new(
        &format!(
            "{store}: revoke without waiting, {followers} stream followers, compared with none"
        ),
        Unit::Ratio,
        ratios(&with, &without),
    );
    let more = format!("p50 {:.2} ms, without followers {:.2} ms", median(&with), median(&without));
    // Each revocation is sent to every follower, on the same cores: no goal.
    figures.push(figure.more(more));
    Ok(figures)
}

/// The median of each round, milliseconds.
fn medians(times: &[Duration]) -> Vec<f64> {
    let milliseconds = |times: &[Duration]| {
        let times: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        median(&times)
    };
    times.chunks(times.len().div_ceil(scale().rounds).max(1)).map(milliseconds).collect()
}

/// A control plane with a store of its own.
struct Measured {
    plane: ControlPlane,
    client: Client,
    _redis: Option<Redis>,
    _folder: TempDir,
}

impl Measured {
    async fn start(store: &str) -> Result<Self> {
        // Not in the system's temporary folder: that may be in memory, where flushing costs nothing.
        let folder = tempfile::tempdir_in(target_dir())?;
        let redis = if store == "Redis" { Some(Redis::start().await?) } else { None };
        let url = redis.as_ref().map_or("embedded", |redis| &redis.url);
        let plane = ControlPlane::start_in(folder.path(), url, &[]).await?;
        let client = Client::builder().no_proxy().build()?;
        Ok(Self { plane, client, _redis: redis, _folder: folder })
    }

    /// Revokes one user, and says how long that took.
    async fn revoke(&self, query: &str) -> Result<(Duration, Value)> {
        let revoke = self.client.post(format!("{}/v1/revocations{query}", self.plane.origin()));
        let revoke = revoke.bearer_auth(&self.plane.admin_key).json(&json!({ "sub": "alice" }));
        let began = Instant::now();
        let answer = revoke.send().await?.error_for_status()?.json().await?;
        Ok((began.elapsed(), answer))
    }
}

/// Follows that many streams, each of which answers each question, until it `is_over`, on one thread.
fn follow(address: &Address, is_over: &Arc<AtomicBool>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let mut streams = JoinSet::new();
        for number in 0..scale().followers {
            streams.spawn(one(address.clone(), number, is_over.clone()));
            if number % 50 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        while let Some(ended) = streams.join_next().await {
            ended??;
        }
        Ok(())
    })
}

/// One follower: a connection for its stream, and one for its answers.
async fn one(
    Address { port, key }: Address,
    number: usize,
    is_over: Arc<AtomicBool>,
) -> Result<()> {
    let headers = format!(
        "host: 127.0.0.1:{port}\r\nauthorization: Bearer {}\r\n\
         offswitch-follower: {number:08x}{number:024x};software=bench/1;staleness=60\r\n",
        key.context("the control plane wants a key")?
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET /v1/feed/stream HTTP/1.1\r\n{headers}\r\n").as_bytes()).await?;
    let mut answers = None;
    let (mut buffer, mut position) = (Vec::with_capacity(4096), String::new());
    while !is_over.load(Ordering::Relaxed) {
        // A heartbeat comes every two seconds.
        let read = timeout(LONGEST_SILENCE, stream.read_buf(&mut buffer)).await?;
        ensure!(read? > 0, "a stream ended: {}", String::from_utf8_lossy(&buffer));
        while let Some(event) = memmem::find(&buffer, b"\n\n") {
            let text = String::from_utf8_lossy(&buffer[..event]).into_owned();
            buffer.drain(..event + 2);
            if let Some(id) = text.lines().find_map(|line| line.strip_prefix("id: ")) {
                id.clone_into(&mut position);
            } else if let Some((_, ask)) = text.split_once("event: position\ndata: ") {
                // The server closes a connection that has no request.
                let connection = match answers.take() {
                    Some(connection) => connection,
                    None => TcpStream::connect(("127.0.0.1", port)).await?,
                };
                answers = Some(answer(connection, &headers, ask, &position).await?);
            }
        }
    }
    Ok(())
}

async fn answer(mut to: TcpStream, headers: &str, ask: &str, position: &str) -> Result<TcpStream> {
    let body = json!({ "ask": ask, "position": position }).to_string();
    let length = body.len();
    let request = format!(
        "POST /v1/feed/position HTTP/1.1\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    to.write_all(request.as_bytes()).await?;
    let mut text = Vec::new();
    // The body of an answer is the last that comes, and ends with a brace.
    while !text.ends_with(b"}") {
        ensure!(to.read_buf(&mut text).await? > 0, "no answer to {ask}");
    }
    ensure!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&text));
    Ok(to)
}

const LONGEST_SILENCE: Duration = Duration::from_secs(10);
const WARM_UP: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);
