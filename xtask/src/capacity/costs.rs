//! What options cost: traces, and HTTPS; and what a flood costs others.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::revokes::revokes_per_second;
use super::{CONNECTIONS, JSON, request};
use crate::bench::figure::{Figure, Unit, median, ratios};
use crate::bench::scale::scale;
use crate::refreshes::load::Connection;
use crate::refreshes::server::{ControlPlane, Redis, free_port};
use crate::system::serve;
use crate::tools::in_an_hour;

/// Single revocations with some traces, and with a trace of each, compared with those without. What takes the traces
/// reads them and does nothing else.
pub(super) async fn traces() -> Result<Vec<Figure>> {
    let port = free_port().await?;
    serve(port, Router::new().fallback(async |_: Bytes| "")).await?;
    let mut variants = [None, Some("0.01"), Some("1")].map(|share| (share, vec![], vec![]));
    for _ in 0..scale().rounds.min(MOST_ROUNDS) {
        for (share, rates, times) in &mut variants {
            let redis = Redis::start().await?;
            let more = share.map(|share| {
                [
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}")),
                    ("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()),
                    ("OTEL_TRACES_SAMPLER_ARG", share.to_owned()),
                ]
            });
            let plane = ControlPlane::start_with(&redis, more.as_slice().as_flattened()).await?;
            let before = plane.processor_time()?;
            let rate = revokes_per_second(&plane, CONNECTIONS, 1, 0).await?;
            let time = plane.processor_time()?.saturating_sub(before).as_secs_f64();
            let count = rate * (scale().warm_up + scale().measured).as_secs_f64();
            rates.push(rate);
            times.push(time * 1e6 / count);
        }
    }
    let [(_, without, time), some, all] = variants;
    let figure = |what: &str, (_, rates, times): &(_, Vec<f64>, Vec<f64>)| {
        let what = format!("single revokes with {what}, of those without traces");
        let more = format!(
            "{:.0}/s of {:.0}/s; {:.1} and {:.1} µs of processor time each",
            median(rates),
            median(&without),
            median(times),
            median(&time)
        );
        Figure::new(&what, Unit::Share, ratios(rates, &without)).more(more)
    };
    Ok(vec![
        figure("a trace of one in a hundred", &some).at_least(0.97),
        figure("a trace of each", &all),
    ])
}

/// Polls with a small delta over HTTPS compared with HTTP, from wrk with connections that stay open. The control plane
/// has one processor and wrk the other, so that the client's own part of TLS costs the server nothing.
pub(super) async fn https() -> Result<Vec<Figure>> {
    let redis = Redis::start().await?;
    let since = revoke_one(&ControlPlane::start(&redis).await?).await?;
    let certificate = certificate(redis.folder()).await?;
    let (mut plain, mut secure) = (Vec::new(), Vec::new());
    for _ in 0..scale().rounds.min(MOST_ROUNDS) {
        let plane = ControlPlane::start(&redis).await?;
        plain.push(polls_per_second(&plane, "http", &since).await?);
        drop(plane);
        let plane = ControlPlane::start_with(&redis, &certificate).await?;
        secure.push(polls_per_second(&plane, "https", &since).await?);
    }
    let more = format!("{:.0}/s of {:.0}/s, on one processor", median(&secure), median(&plain));
    let figure = Figure::new(
        "polls with a delta over HTTPS, of those over HTTP",
        Unit::Share,
        ratios(&secure, &plain),
    );
    Ok(vec![figure.at_least(0.8).more(more)])
}

/// Revokes; returns the position before.
async fn revoke_one(plane: &ControlPlane) -> Result<String> {
    let client = Client::builder().no_proxy().build()?;
    let feed = client.get(format!("{}/v1/feed", plane.origin())).bearer_auth(&plane.admin_key);
    let feed = feed.send().await?.error_for_status()?;
    let since = feed.headers()["offswitch-position"].to_str()?.to_owned();
    let revoke = client.post(format!("{}/v1/revocations", plane.origin()));
    let revoke = revoke.bearer_auth(&plane.admin_key).json(&json!({ "sub": "somebody" }));
    revoke.send().await?.error_for_status()?;
    Ok(since)
}

/// A certificate in the folder, as the configuration of a control plane names it.
async fn certificate(folder: &Path) -> Result<[(&'static str, String); 2]> {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-days", "2", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status();
    ensure!(made.await?.success(), "openssl makes no certificate");
    Ok([
        ("OFFSWITCH_TLS_CERTIFICATE_FILE", certificate.display().to_string()),
        ("OFFSWITCH_TLS_KEY_FILE", key.display().to_string()),
    ])
}

async fn polls_per_second(plane: &ControlPlane, scheme: &str, since: &str) -> Result<f64> {
    plane.run_on_processor(0).await?;
    let output = Command::new("taskset")
        .args(["--cpu-list", "1", "wrk", "--threads", "1", "--connections"])
        .arg(CONNECTIONS.to_string())
        .arg("--duration")
        .arg(format!("{}s", scale().load_seconds))
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", plane.admin_key))
        .arg(format!("{scheme}://127.0.0.1:{}/v1/feed?since={since}", plane.port))
        .output()
        .await
        .context("wrk")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.with_context(|| said.to_string())?.trim().parse()?)
}

/// How soon an honest client's revocations are answered while another source sends ten times as many requests as it
/// may, compared with no flood.
pub(super) async fn flood() -> Result<Vec<Figure>> {
    let (mut quiet, mut flooded, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale().rounds.min(MOST_ROUNDS) {
        let redis = Redis::start().await?;
        let limit = [("OFFSWITCH_REQUESTS_PER_SOURCE", FLOOD_LIMIT.to_string())];
        let plane = ControlPlane::start_with(&redis, &limit).await?;
        quiet.push(median(&honest(&plane, "before").await?));
        let (port, end) = (plane.port, Instant::now() + scale().measured + scale().warm_up);
        let floods: JoinSet<_> = (0..FLOOD_CONNECTIONS).map(|_| flood_until(port, end)).collect();
        tokio::time::sleep(scale().warm_up).await;
        flooded.push(median(&honest(&plane, "during").await?));
        let sent: Vec<(u64, u64)> = floods.join_all().await.into_iter().collect::<Result<_>>()?;
        let (all, limited) =
            sent.iter().fold((0, 0), |(all, limited), one| (all + one.0, limited + one.1));
        refused.push(100.0 * limited as f64 / all as f64);
    }
    let more = format!(
        "p50 {:.2} ms, without it {:.2} ms; {:.0} % of the flood refused",
        median(&flooded),
        median(&quiet),
        median(&refused)
    );
    let figure = Figure::new(
        "a revoke while another source sends ten times its limit, compared with no flood",
        Unit::Ratio,
        ratios(&flooded, &quiet),
    );
    Ok(vec![figure.at_most(2.0).more(more)])
}

/// The milliseconds of each of a client's revocations, one after the other with pauses.
async fn honest(plane: &ControlPlane, when: &str) -> Result<Vec<f64>> {
    let mut connection = Connection::open(plane.port).await?;
    let exp = in_an_hour()?;
    let (mut times, begin) = (Vec::new(), Instant::now());
    while begin.elapsed() < scale().measured {
        let body = format!(r#"{{"jti":"{when} {}","exp":{exp}}}"#, times.len());
        let request = request(plane, "POST", "/v1/revocations", JSON, &body);
        let asked = Instant::now();
        connection.exchange(&request).await?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(times)
}

/// Requests without a key from another address of this machine; how many, and how many of them were refused.
async fn flood_until(port: u16, end: Instant) -> Result<(u64, u64)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind("127.0.0.2:0".parse()?)?;
    let mut stream = socket.connect(format!("127.0.0.1:{port}").parse()?).await?;
    let request = format!("GET /v1/status HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    let (mut all, mut refused, mut answer) = (0, 0, vec![0; 4096]);
    while Instant::now() < end {
        pace.tick().await;
        stream.write_all(request.as_bytes()).await?;
        let read = stream.read(&mut answer).await?;
        ensure!(read > 0, "the connection is closed");
        all += 1;
        refused += u64::from(answer.starts_with(b"HTTP/1.1 429"));
    }
    Ok((all, refused))
}

/// Each round starts processes. Odd, so that the median is one of them.
const MOST_ROUNDS: usize = 5;
/// Requests per second that a source may send.
const FLOOD_LIMIT: u64 = 1000;
/// Each sends once in 10 ms.
const FLOOD_CONNECTIONS: u64 = 100;
