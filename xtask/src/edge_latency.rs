//! The time from the response to a revocation to the first refusal by the edge worker in workerd.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::bench::figure::Figure;
use crate::bench::scale::scale;
use crate::system::{Following, Ports, System};

/// For each way to follow the feed, or only some of them.
pub(crate) async fn figures(only: &[String]) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for following in [Following::LongPolling, Following::Polling] {
        let contest = format!("{following:?}");
        if only.is_empty() || only.contains(&contest) {
            let times = measure(following, scale().revocations).await?;
            let what = format!("revoke answered to refused at the edge, {contest}");
            for percent in [50.0, 99.0] {
                let figure = Figure::of_times(&what, &times, percent, scale().rounds);
                let more = format!("{} revocations", times.len());
                figures.push(Figure { contest: contest.clone(), ..figure.more(more) });
            }
        }
    }
    Ok(figures)
}

/// Revokes `count` tokens one after the other; returns how long each stayed valid.
async fn measure(following: Following, count: usize) -> Result<Vec<Duration>> {
    let data_dir = tempfile::tempdir()?;
    let system = System::start(Ports::free().await?, data_dir.path(), following).await?;
    let mut times = Vec::with_capacity(count);
    for round in 0..count {
        let session = system.open_session(&format!("user-{round}")).await?;
        let token = session["access_token"].as_str().unwrap_or_default().to_owned();
        ensure!(system.call_edge(&token).await?.code == "valid", "a fresh token is refused");
        // Spread over the poll's interval, so that no phase has an advantage.
        tokio::time::sleep(Duration::from_millis((round as u64 * 37) % 1000)).await;
        system.post("/v1/revocations", &json!({ "token": token })).await?;
        let answered = Instant::now();
        while system.call_edge(&token).await?.code == "valid" {
            ensure!(answered.elapsed() < Duration::from_secs(10), "the token is never refused");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        times.push(answered.elapsed());
    }
    Ok(times)
}
