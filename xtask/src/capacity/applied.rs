//! Revocations that wait until a thousand followers of the stream hold them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use memchr::memmem;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::followers::{Address, percentiles};
use super::system;
use crate::bench::figure::Figure;
use crate::bench::scale::scale;

/// How long the answers take, and how long the same revocations take that do not wait.
pub(super) async fn waiting() -> Result<Vec<Figure>> {
    let (_redis, plane) = system().await?;
    let address = Address::of(&plane);
    let is_over = Arc::new(AtomicBool::new(false));
    let until = is_over.clone();
    let following = tokio::task::spawn_blocking(move || follow(&address, &until));
    sleep(scale().waits(4.0)).await;
    let client = Client::builder().no_proxy().build()?;
    let (mut figures, followers) = (Vec::new(), scale().followers);
    for (name, query) in [("wait=applied", "?wait=applied&timeout=5"), ("no wait", "")] {
        let mut times = Vec::new();
        for number in 0..scale().revocations {
            let revoke = client.post(format!("{}/v1/revocations{query}", plane.origin()));
            let revoke = revoke.bearer_auth(&plane.admin_key);
            let began = Instant::now();
            let answer = revoke.json(&json!({ "sub": number.to_string() })).send().await?;
            let answer: Value = answer.error_for_status()?.json().await?;
            times.push(began.elapsed());
            if !query.is_empty() {
                let (all, holding) =
                    (&answer["applied"]["followers"], &answer["applied"]["holding"]);
                ensure!(all == followers && holding == followers, "{}", answer["applied"]);
            }
            sleep(PAUSE).await;
        }
        let what = format!("revoke with {name}, {followers} stream followers");
        let goals = if query.is_empty() { [None; 2] } else { [Some(40e6), Some(100e6)] };
        figures.extend(percentiles(&what, &times, goals));
    }
    is_over.store(true, Ordering::Relaxed);
    following.await??;
    Ok(figures)
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
const PAUSE: Duration = Duration::from_millis(50);
