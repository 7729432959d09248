//! What options cost: traces, and HTTPS; and what a flood costs others.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::revokes::revokes_per_second;
use super::{CONNECTIONS, JSON, ROUNDS, at, median, request};
use crate::refreshes::load::Connection;
use crate::refreshes::server::{ControlPlane, Redis, free_port};
use crate::refreshes::{MEASURED, WARM_UP};
use crate::system::serve;
use crate::tools::in_an_hour;

/// Single revocations with no traces, with some and with all of them, interleaved. What takes them reads them
/// and does nothing else.
pub(super) async fn traces() -> Result<String> {
    let port = free_port().await?;
    serve(port, Router::new().fallback(async |_: axum::body::Bytes| "")).await?;
    let variants = [("no traces", None), ("1 % of them", Some("0.01")), ("all", Some("1"))];
    let mut figures = variants.map(|(name, _)| (name, Vec::new(), Vec::new()));
    for _ in 0..ROUNDS {
        for ((_, share), (_, rates, times)) in variants.iter().zip(&mut figures) {
            let redis = Redis::start().await?;
            let plane = match share {
                None => ControlPlane::start(&redis).await?,
                Some(share) => {
                    let more = [
                        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}")),
                        ("OTEL_TRACES_SAMPLER", "traceidratio".to_owned()),
                        ("OTEL_TRACES_SAMPLER_ARG", (*share).to_owned()),
                    ];
                    ControlPlane::start_with(&redis, &more).await?
                }
            };
            let before = plane.processor_time()?;
            let rate = revokes_per_second(&plane, CONNECTIONS, 1, 0).await?;
            let time = plane.processor_time()?.saturating_sub(before);
            rates.push(rate);
            times.push(time.as_secs_f64() * 1e6 / (rate * (WARM_UP + MEASURED).as_secs_f64()));
        }
    }
    let said = figures.map(|(name, rates, times)| {
        format!("{name}: {:.0}/s, {:.1} us of processor time each", median(rates), median(times))
    });
    Ok(format!("single revokes over HTTP, durable, with traces: {}\n", said.join("; ")))
}

/// Polls with a small delta over HTTP and HTTPS, from wrk with connections that stay open. The control plane has
/// one processor and wrk the other, so that the client's own part of TLS costs the server nothing.
pub(super) async fn https() -> Result<String> {
    let redis = Redis::start().await?;
    let since = revoke_one(&ControlPlane::start(&redis).await?).await?;
    let certificate = certificate(redis.folder()).await?;
    let (mut plain, mut secure) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let plane = ControlPlane::start(&redis).await?;
        plain.push(polls_per_second(&plane, "http", &since).await?);
        drop(plane);
        let plane = ControlPlane::start_with(&redis, &certificate).await?;
        secure.push(polls_per_second(&plane, "https", &since).await?);
    }
    let (plain, secure) = (median(plain), median(secure));
    Ok(format!(
        "polls with a delta on one processor: {plain:.0}/s over HTTP, {secure:.0}/s over HTTPS, {:.0} % (goal 80 %)\n",
        100.0 * secure / plain
    ))
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
        .arg(format!("{}s", MEASURED.as_secs()))
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
pub(super) async fn flood() -> Result<String> {
    let (mut quiet, mut flooded, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let redis = Redis::start().await?;
        let limit = [("OFFSWITCH_REQUESTS_PER_SOURCE", FLOOD_LIMIT.to_string())];
        let plane = ControlPlane::start_with(&redis, &limit).await?;
        quiet.extend(honest(&plane, "before").await?);
        let (port, end) = (plane.port, Instant::now() + MEASURED + WARM_UP);
        let floods: JoinSet<_> = (0..FLOOD_CONNECTIONS).map(|_| flood_until(port, end)).collect();
        tokio::time::sleep(WARM_UP).await;
        flooded.extend(honest(&plane, "during").await?);
        let sent: Vec<(u64, u64)> = floods.join_all().await.into_iter().collect::<Result<_>>()?;
        let (all, limited) =
            sent.iter().fold((0, 0), |(all, limited), one| (all + one.0, limited + one.1));
        ensure!(all > 2 * FLOOD_LIMIT * MEASURED.as_secs(), "only {all} requests were sent");
        refused.push(100.0 * limited as f64 / all as f64);
    }
    let said = |times: &mut Vec<f64>| {
        times.sort_unstable_by(f64::total_cmp);
        (at(times, 50.0), at(times, 99.0))
    };
    let ((quiet_50, quiet_99), (flooded_50, flooded_99)) = (said(&mut quiet), said(&mut flooded));
    Ok(format!(
        "durable revokes of an honest client while another source sends ten times its limit ({:.0} % refused): p50 {flooded_50:.2} ms, \
         p99 {flooded_99:.2} ms; without the flood p50 {quiet_50:.2} ms, p99 {quiet_99:.2} ms; {:.1} times (goal 2)\n",
        median(refused),
        flooded_50 / quiet_50
    ))
}

/// The milliseconds of each of a client's revocations, one after the other with pauses.
async fn honest(plane: &ControlPlane, when: &str) -> Result<Vec<f64>> {
    let mut connection = Connection::open(plane.port).await?;
    let exp = in_an_hour()?;
    let (mut times, begin) = (Vec::new(), Instant::now());
    while begin.elapsed() < MEASURED {
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

/// Requests per second that a source may send.
const FLOOD_LIMIT: u64 = 1000;
/// Each sends once in 10 ms.
const FLOOD_CONNECTIONS: u64 = 100;
