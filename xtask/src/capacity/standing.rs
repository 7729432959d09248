//! The cost of a full store: a cold start, and memory in Redis.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use super::revokes::revokes_per_second;
use super::{ControlPlane, system};

/// A million revocations, each in a record of its own; then a second process starts with them.
pub(super) async fn cold_start() -> Result<String> {
    let (redis, plane) = system().await?;
    let sessions = session_bytes(&plane, &redis.url).await?;
    let mut connection =
        redis::Client::open(redis.url.as_str())?.get_multiplexed_async_connection().await?;
    let (mut count, mut run) = (0_u64, 0);
    while count < 1_000_000 {
        run += 1;
        revokes_per_second(&plane, 256, 1, run).await?;
        count = redis::cmd("XLEN").arg("{offswitch}:log").query_async(&mut connection).await?;
    }
    let mut usage = redis::cmd("MEMORY");
    usage.arg("USAGE").arg("{offswitch}:log").arg("SAMPLES").arg(0);
    let log: u64 = usage.query_async(&mut connection).await?;
    drop(plane);
    let mut starts = Vec::new();
    let mut resident = 0;
    for _ in 0..3 {
        let plane = ControlPlane::start(&redis).await?;
        starts.push(plane.started_in.as_secs_f64());
        resident = plane.resident_bytes()?;
        let entries = entries(&plane).await?;
        ensure!(entries == count, "{entries} entries of {count} records");
    }
    let start = super::median(starts);
    Ok(format!(
        "cold start with {count} revocations in as many records in Redis: first base after \
         {start:.2} s (goal 5 s for a million), {} MB resident\n\
         Redis memory: {:.0} bytes of the log a live revocation, {sessions:.0} bytes a session\n",
        resident / 1_000_000,
        log as f64 / count as f64
    ))
}

/// The number of entries in its base.
async fn entries(plane: &ControlPlane) -> Result<u64> {
    let client = Client::builder().no_proxy().build()?;
    let metrics = client.get(format!("{}/metrics", plane.origin())).bearer_auth(&plane.admin_key);
    let metrics = metrics.send().await?.error_for_status()?.text().await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("offswitch_entries "));
    Ok(line.context("no offswitch_entries")?.parse()?)
}

/// The size of the document of a user with one session.
async fn session_bytes(plane: &ControlPlane, url: &str) -> Result<f64> {
    let client = Client::builder().no_proxy().build()?;
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let open = client.post(format!("{}/v1/sessions", plane.origin()));
    let body = json!({ "sub": "somebody@example.com", "device": "Firefox on Linux" });
    let open = open.bearer_auth(&plane.admin_key).json(&body).send().await?;
    let _: Value = open.error_for_status()?.json().await?;
    let mut find = redis::cmd("KEYS");
    find.arg("{offswitch}:doc:user:*");
    let keys: Vec<String> = find.query_async(&mut connection).await?;
    let key = keys.first().context("no document")?;
    let mut usage = redis::cmd("MEMORY");
    usage.arg("USAGE").arg(key);
    let bytes: u64 = usage.query_async(&mut connection).await?;
    Ok(bytes as f64)
}
