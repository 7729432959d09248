//! The time from the response to a revocation to the first refusal by the edge worker in workerd.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::system::{Following, Ports, System};

/// Revokes `count` tokens one after the other; returns a line with how long each stayed valid.
pub(crate) async fn measure(following: Following, count: usize) -> Result<String> {
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
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_millis();
    Ok(format!(
        "revoke answered to refused at the edge, {following:?}, {count} revokes: \
         p50 {} ms, p99 {} ms, max {} ms\n",
        at(50),
        at(99),
        at(100)
    ))
}
