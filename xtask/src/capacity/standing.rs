//! The cost of a full store: a cold start, and memory in Redis.

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use super::revokes::revokes_per_second;
use super::{ControlPlane, system};
use crate::bench::figure::{Figure, Unit};
use crate::bench::scale::scale;

/// A million revocations, each in a record of its own; then a second process starts with them.
pub(super) async fn cold_start() -> Result<Vec<Figure>> {
    let (redis, plane) = system().await?;
    let sessions = session_bytes(&plane, &redis.url).await?;
    let mut connection =
        redis::Client::open(redis.url.as_str())?.get_multiplexed_async_connection().await?;
    let (mut count, mut run) = (0_u64, 0);
    while count < scale().entries {
        run += 1;
        revokes_per_second(&plane, 256, 1, run).await?;
        count = redis::cmd("XLEN").arg("{offswitch}:log").query_async(&mut connection).await?;
    }
    let mut usage = redis::cmd("MEMORY");
    usage.arg("USAGE").arg("{offswitch}:log").arg("SAMPLES").arg(0);
    let log: u64 = usage.query_async(&mut connection).await?;
    drop(plane);
    let mut starts = Vec::new();
    let mut resident = Vec::new();
    for _ in 0..scale().rounds {
        let plane = ControlPlane::start(&redis).await?;
        starts.push(plane.started_in.as_secs_f64() * 1e9);
        resident.push(plane.resident_bytes()? as f64);
        let entries = entries(&plane).await?;
        // Until it is trimmed, the first record is no revocation, but the horizon of the plane's own tokens.
        ensure!((count - 1..=count).contains(&entries), "{entries} entries of {count} records");
    }
    let records = || format!("{count} revocations in as many records in Redis");
    let log = vec![log as f64 / count as f64];
    Ok(vec![
        Figure::new("cold start, until the first base", Unit::Nanoseconds, starts)
            .at_most(5e9)
            .more(records()),
        Figure::new("resident after a cold start", Unit::Bytes, resident).more(records()),
        Figure::new("Redis memory of the log, a live revocation", Unit::Bytes, log),
        Figure::new("Redis memory, a session", Unit::Bytes, vec![sessions]),
    ])
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
