//! Answers per second: polls beside a fixed body, introspection beside oidc-provider.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{CONNECTIONS, JSON, ROUNDS, median, request, system};
use crate::refreshes::load::{Connection, Counting, one_thread};
use crate::refreshes::server::{Redis, free_port, target_dir};
use crate::tools::root;

/// `GET /v1/feed?since=` with a small delta, beside the same accept loop and Axum with a fixed body.
pub(super) async fn polls() -> Result<String> {
    let (_redis, plane) = system().await?;
    let client = Client::builder().no_proxy().build()?;
    let feed = format!("{}/v1/feed", plane.origin());
    let base = client.get(&feed).bearer_auth(&plane.admin_key).send().await?;
    let since = base.headers()["offswitch-position"].to_str()?.to_owned();
    let revoke = client.post(format!("{}/v1/revocations", plane.origin()));
    let body = json!({ "sub": "somebody" });
    revoke.bearer_auth(&plane.admin_key).json(&body).send().await?.error_for_status()?;
    let path = format!("/v1/feed?since={since}");
    let delta = client.get(format!("{}{path}", plane.origin())).bearer_auth(&plane.admin_key);
    let size = delta.send().await?.bytes().await?.len();
    let port = free_port().await?;
    let _peer = Command::new(target_dir().join("release/examples/fixed_body"))
        .args([port.to_string(), size.to_string()])
        .kill_on_drop(true)
        .spawn()?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let bare = format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n").into_bytes();
    let poll = request(&plane, "GET", &path, JSON, "");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(per_second(port, bare.clone()).await?);
        ours.push(per_second(plane.port, poll.clone()).await?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(format!(
        "polls with a delta of {size} bytes: {ours:.0}/s, {:.0} % of a fixed body with {theirs:.0}/s \
         (goal 80 %)\n",
        100.0 * ours / theirs
    ))
}

/// Introspection of an access token beside oidc-provider with Redis.
pub(super) async fn introspection() -> Result<String> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(oidc_provider().await.context("oidc-provider")?);
        let (_redis, plane) = system().await?;
        let client = Client::builder().no_proxy().build()?;
        let open = client.post(format!("{}/v1/sessions", plane.origin()));
        let open = open.bearer_auth(&plane.admin_key).json(&json!({ "sub": "somebody" }));
        let session: Value = open.send().await?.error_for_status()?.json().await?;
        let token = session["access_token"].as_str().context("no access token")?;
        let form = "application/x-www-form-urlencoded";
        let body = format!("token={token}");
        ours.push(
            per_second(plane.port, request(&plane, "POST", "/oauth/introspect", form, &body))
                .await?,
        );
    }
    let (ours, theirs) = (median(ours), median(theirs));
    Ok(format!(
        "introspection: {ours:.0}/s, {:.1} times oidc-provider with {theirs:.0}/s (goal 5)\n",
        ours / theirs
    ))
}

async fn oidc_provider() -> Result<f64> {
    let redis = Redis::start().await?;
    let mut process = Command::new("node")
        .args(["tests/bench/oidc-provider.mjs", "1"])
        .env("NODE_ENV", "production")
        .env("REDIS_URL", &redis.url)
        .env_remove("DEBUG")
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(redis.folder().join("oidc-provider.log"))?)
        .kill_on_drop(true)
        .spawn()?;
    let output = process.stdout.take().context("no standard output")?;
    let first = BufReader::new(output).lines().next_line().await?.context("it stopped")?;
    let started: Value = serde_json::from_str(&first)?;
    let port = started["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = port.context("no port")?;
    let token = started["access_token"].as_str().context("no access token")?;
    let client_id = started["client_id"].as_str().context("no client")?;
    let body = format!("token={token}&client_id={client_id}");
    let request = format!(
        "POST /token/introspection HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    per_second(port, request.into_bytes()).await
}

/// How many answers of 200 the same request gets, from all connections together.
async fn per_second(port: u16, request: Vec<u8>) -> Result<f64> {
    one_thread(async move {
        let counting = Counting::begin();
        let mut chains = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (request, mut counting) = (request.clone(), counting);
            chains.spawn(async move {
                let mut connection = Connection::open(port).await?;
                while !counting.is_over() {
                    let answer = connection.exchange_bytes(&request).await?;
                    anyhow::ensure!(!answer.starts_with(b"{\"active\":false"), "not active");
                    counting.count();
                }
                Ok(counting.counted())
            });
        }
        counting.rate(chains).await
    })
    .await
}
