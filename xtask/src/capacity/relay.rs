//! Ten thousand followers of a relay, compared with as many of the control plane that it follows.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::followers::{Address, GRACE, delays, follow, percentiles, revoke};
use super::system;
use crate::bench::figure::{Figure, Unit};
use crate::bench::scale::scale;
use crate::refreshes::server::{ControlPlane, Redis, START_LIMIT, free_port, resident_bytes};

/// The memory of each follower, and how soon a revocation reaches all of them.
pub(super) async fn followers() -> Result<Vec<Figure>> {
    let (redis, plane) = system().await?;
    let relay = Relay::start(&redis, &plane).await?;
    let mut figures = Vec::new();
    let followers = scale().idle_followers;
    for round in 1..=scale().relay_rounds {
        let of_plane = (Address::of(&plane), plane.resident_bytes()?);
        let of_relay = (Address { port: relay.port, key: None }, relay.resident_bytes()?);
        for (name, (address, before)) in [("control plane", of_plane), ("relay", of_relay)] {
            let time = scale().waits(28.0) + GRACE;
            let following = tokio::task::spawn_blocking(follow(address, followers, time));
            sleep(scale().waits(14.0)).await;
            let after = match name {
                "relay" => relay.resident_bytes()?,
                _ => plane.resident_bytes()?,
            };
            // As many as are announced to that many followers: one announcement takes 200 ms.
            let sent = revoke(&plane, 20, scale().waits(0.5)).await?;
            let times = delays(&following.await??, &sent)?;
            let each = after.saturating_sub(before) as f64 / followers as f64;
            let what = format!("{followers} followers of the {name}, round {round}");
            // That of the first round is not returned before the second.
            if round == 1 {
                let what = format!("each of {followers} followers of the {name}");
                figures.push(Figure::new(&what, Unit::Bytes, vec![each]));
            }
            figures.extend(percentiles(&format!("revoke to {what}"), &times, [None; 2]));
        }
    }
    Ok(figures)
}

/// A running `offswitch guard` that only relays; it stops when dropped.
struct Relay {
    port: u16,
    process: Child,
}

impl Relay {
    async fn start(redis: &Redis, plane: &ControlPlane) -> Result<Self> {
        let client = Client::builder().no_proxy().build()?;
        let keys = client.get(format!("{}/v1/keys", plane.origin())).bearer_auth(&plane.admin_key);
        let keys: Value = keys.send().await?.error_for_status()?.json().await?;
        let key = keys["feed_public_keys"][0].as_str().context("no public key of the feed")?;
        let status = client.get(format!("{}/v1/status", plane.origin()));
        let status = status.bearer_auth(&plane.admin_key).send().await?.error_for_status()?;
        let status: Value = status.json().await?;
        let id = status["issuer"].as_str().context("no issuer")?;
        let (port, admin_port) = (free_port().await?, free_port().await?);
        let log = std::fs::File::create(redis.folder().join("relay.log"))?;
        let process = Command::new(scale().program("offswitch"))
            .arg("guard")
            .env("OFFSWITCH_GUARD_RELAY_LISTEN", format!("127.0.0.1:{port}"))
            .env("OFFSWITCH_GUARD_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}"))
            .env("OFFSWITCH_GUARD_FEED_URLS", format!("{}/v1/feed", plane.origin()))
            .env("OFFSWITCH_GUARD_FEED_PUBLIC_KEYS", key)
            .env("OFFSWITCH_GUARD_FEED_ID", id)
            .env("OFFSWITCH_GUARD_FEED_API_KEY", &plane.admin_key)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let ready = format!("http://127.0.0.1:{admin_port}/readyz");
        let begin = Instant::now();
        while !client.get(&ready).send().await.is_ok_and(|answer| answer.status() == 200) {
            ensure!(begin.elapsed() < START_LIMIT, "the relay does not become ready");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self { port, process })
    }

    fn resident_bytes(&self) -> Result<u64> {
        resident_bytes(&self.process)
    }
}
